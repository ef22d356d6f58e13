# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Faults of the server before the first option, and of connections other than
# the first: without those, a pool has fewer.

from rogue_kinds import *


def greeting(data, then=None):
    return say(data) if not then else \
        lambda session, message: session.conn.sendall(data) or then(
            session, message)


def hello(flags):
    return say(GREETING + struct.pack(">H", flags))


GREETINGS = [
    ("wrong magic", "refused", greeting(b"NBDMAGIK" + b"IHAVEOPT\0\3")),
    ("wrong option magic", "refused", greeting(b"NBDMAGICIHAVEOPS\0\3")),
    ("old style", "refused", greeting(
        b"NBDMAGIC" + struct.pack(">QQI", 0x420281861253, SIZE,
                                  HAS_FLAGS | READ_ONLY) + bytes(124))),
    ("a web server", "refused", greeting(
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", close)),
    ("an ssh server", "refused", greeting(b"SSH-2.0-OpenSSH_9.2\r\n", stall)),
    ("not fixed", "refused", hello(0)),
    ("all flags", "served", hello(0xffff)),
    ("zeroes are kept", "served", hello(1)),
    ("echo", "refused", echo),
    ("greets twice", "refused", greeting((GREETING + b"\0\3") * 2)),
    ("greets for ever", "refused", for_ever(
        lambda s, m: (GREETING + b"\0\3") * 1000)),
    ("one flag byte, then stalls", "refused", greeting(GREETING + b"\0",
                                                       stall)),
]


def first_rows():
    rows = [row(name, "greeting", "refused", do) for name, do in ANYWHERE]
    rows += [row(name, "greeting", expect, do)
             for name, expect, do in GREETINGS]
    rows += [row("%d bytes, then closes" % count, "greeting", "refused",
                 first_bytes(count, close)) for count in (7, 8, 15, 16)]
    rows += [row(name, "accept", "refused", do, tcp=tcp)
             for tcp, what in ((False, ""), (True, " (TCP)"))
             for name, do in (("closes" + what, close),
                              ("resets" + what, reset),
                              ("stalls" + what, stall),
                              ("zeroes for ever" + what, zeroes_for_ever))]
    rows += [row("nobody listens", "accept", "refused", close, listens=False),
             row("nobody listens (TCP)", "accept", "refused", close,
                 listens=False, tcp=True),
             row("nobody accepts", "accept", "refused", close,
                 listens="deaf"),
             row("nobody accepts (TCP)", "accept", "refused", close,
                 listens="deaf", tcp=True)]
    rows += [row(name, "options", "refused", do) for name, do in (
        ("closes", close), ("resets", reset), ("stalls", stall),
        ("garbage", garbage), ("zeroes for ever", zeroes_for_ever),
        ("an answer to nothing", say(reply(OPT_STRUCTURED, REP_ACK) * 2)))]
    return rows


def go_with(size=SIZE, flags=HAS_FLAGS | READ_ONLY | MULTI_CONN):
    return say(reply(OPT_GO, REP_INFO, struct.pack(">HQH", 0, size, flags)),
               reply(OPT_GO, REP_ACK))


def without(name):
    """SET_META's answer, as if the server did not have that context."""
    def do(session, message):
        session.chosen = [c for c in session.chosen if c != name]
        return [reply(OPT_SET_META, REP_META, u32(CONTEXTS[c][0]) + c)
                for c in session.chosen] + [reply(OPT_SET_META, REP_ACK)]
    return do


EXTRA_FAULTS = [
    ("greeting", "closes", "served", close),
    ("greeting", "stalls", "served", stall),
    ("greeting", "garbage", "served", garbage),
    ("structured", "stalls", "served", stall),
    ("structured", "is refused", "served",
     say(reply(OPT_STRUCTURED, ERRORS["UNSUP"]))),
    ("set", "closes", "served", close),
    ("set", "without the bitmap", "served", without(MONDAY)),
    ("go", "is refused", "served", say(reply(OPT_GO, ERRORS["POLICY"]))),
    ("go", "stalls", "served", stall),
    ("go", "is writable", "served", go_with(flags=HAS_FLAGS | MULTI_CONN)),
    ("go", "is smaller", "refused", go_with(size=SIZE - 65536)),
    ("go", "is larger", "refused", go_with(size=SIZE + 65536)),
    ("go", "is empty", "refused", go_with(size=0)),
    ("go", "is endless", "refused", go_with(size=2 ** 64 - 1)),
]


def extra_rows():
    rows = [row("another connection " + name, step, expect, do, conns=EXTRA)
            for step, name, expect, do in EXTRA_FAULTS]
    rows += [
        row("the second connection is refused", "none", "served", close,
            accepts=1),
        row("the fifth connection is refused", "none", "served", close,
            accepts=4),
        row("only one may connect", "none", "served", close,
            flags=HAS_FLAGS | READ_ONLY),
        row("correct", "none", "served", close),
        row("correct (TCP)", "none", "served", close, tcp=True),
        # Of the view that is not the default, connections are made when a
        # client comes.
        row("a client's connection stalls", "greeting", "eio", stall,
            conns=LATE, export="vda@tuesday"),
        row("a client's connection stalls, ended meanwhile", "greeting",
            "eio", stall, conns=LATE, export="vda@tuesday",
            end="connecting"),
        row("a client's connection stalls in the middle, ended meanwhile",
            "set", "eio", stall, conns=LATE,
            export="vda@tuesday", end="connecting"),
    ]
    return rows


ROWS = first_rows() + extra_rows()
