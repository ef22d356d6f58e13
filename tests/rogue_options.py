# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Faults in the answers to options.

from rogue_handshake import go_with, without
from rogue_kinds import *

STEPS = {"structured": OPT_STRUCTURED, "list": OPT_LIST_META,
         "set": OPT_SET_META, "go": OPT_GO}


def wrong(option, **changes):
    """A single reply, wrong in that."""
    return say(reply(**{"option": option, "kind": REP_ACK, **changes}))


def then_as_it_should(*parts):
    def do(session, message):
        return list(parts) + message.parts
    return do


def names_then(option, kind):
    """An error that follows what was asked for."""
    def do(session, message):
        return message.parts[:-1] + [reply(option, kind)]
    return do


def common_rows(step, option):
    rows = [row(name, step, "refused", do) for name, do in ANYWHERE]
    # An error is not as if there were no bitmaps.
    rows += [row("error " + name, step,
                 ("refused", "served") if (step, name) == ("go", "UNSUP")
                 else "refused", say(reply(option, number)),
                 **{"never": "does not offer bitmap"} if step == "list" else {})
             for name, number in ERRORS.items()]
    rows += [row(name, step, "refused", do) for name, do in (
        ("wrong magic", wrong(option, magic=REPLY_MAGIC + 1)),
        ("of another option", wrong(99)),
        ("a reply that is 2^32-1 bytes long",
         wrong(option, length=0xffffffff)),
        ("a reply that is 2^32-1 bytes long, with all of them",
         lambda s, m: s.conn.sendall(reply(
             option, REP_META if step in ("list", "set") else REP_INFO,
             length=0xffffffff)) or zeroes_for_ever(s, m)),
        ("a reply that is longer than it says",
         say(reply(option, REP_ACK, noise(64), length=0))),
        ("an error that is 2^32-1 bytes long",
         wrong(option, kind=ERRORS["POLICY"], length=0xffffffff)),
        ("an unknown kind of reply", say(reply(option, 0x7777))),
        ("an unknown kind of reply for ever",
         for_ever(lambda s, m: reply(option, 0x7777, b"?" * 100) * 100)),
    )]
    rows += [row("an error with a long text", step, "refused",
                 say(reply(option, ERRORS["POLICY"], b"no \xff\n\0" * 800)))]
    return rows


def contexts_for_ever(option, name):
    def make(session, message):
        return b"".join(reply(option, REP_META, u32(10 + i) + name % i)
                        for i in range(500))
    return for_ever(make)


def many_contexts(option, count, length):
    """Before those that are wanted, and with names of their own."""
    def do(session, message):
        made = [reply(option, REP_META,
                      u32(10 + i) + (BITMAP + b"%d." % i).ljust(length, b"x"))
                for i in range(count)]
        return [b"".join(made)] + message.parts
    return do


def odd_names(option):
    names = [BITMAP, b"qemu:", b"other:" + bytes(range(256)),
             BITMAP + b"\xff\xfe", BITMAP + b"two\nlines", BITMAP + b"\0nul",
             BITMAP + b"\x1b[31m"]
    return then_as_it_should(*[reply(option, REP_META, u32(50 + i) + name)
                               for i, name in enumerate(names)])


def meta_rows(step, option):
    """Of LIST_META and SET_META."""
    # After SET_META has failed, block status fails, if the server means it.
    rows = [row("names, then error " + name, step,
                "refused" if step == "list" else "safe",
                names_then(option, ERRORS[name]))
            for name in ("UNSUP", "POLICY", "TOO_BIG", "SHUTDOWN",
                         "unheard-of")]
    rows += [
        row("contexts for ever", step, "refused",
            contexts_for_ever(option, BITMAP + b"%d"), cpu=15),
        row("contexts with long names for ever", step, "refused",
            contexts_for_ever(option, BITMAP + b"%%0%dd" % 4000), cpu=15,
            memory=150),
        row("other contexts for ever", step, "refused",
            contexts_for_ever(option, b"x-other:%d"), cpu=15),
        row("the same context for ever", step, "refused",
            for_ever(lambda s, m: reply(option, REP_META, u32(2) + MONDAY)
                     * 500), cpu=15),
        row("20,000 contexts with 4,000-byte names", step, "safe",
            many_contexts(option, 20000, 4000), cpu=8),
        row("200 more contexts", step, "served",
            many_contexts(option, 200, 64)),
        row("names of odd bytes", step, "safe", odd_names(option)),
        row("a context without an id", step, "refused",
            then_as_it_should(reply(option, REP_META, b""))),
        row("a context without a name", step, "safe",
            then_as_it_should(reply(option, REP_META, u32(50)))),
        row("a context with half an id", step, "refused",
            then_as_it_should(reply(option, REP_META, b"\0\0"))),
        row("no context", step, "refused", say(reply(option, REP_ACK))),
        row("another context only", step, "refused",
            say(reply(option, REP_META, u32(7) + BITMAP + b"friday"),
                reply(option, REP_ACK))),
        row("the wanted one with bytes behind its name", step, "refused",
            say(reply(option, REP_META, u32(2) + MONDAY + b"s"),
                reply(option, REP_ACK))),
        row("names, and no end", step, "refused",
            lambda s, m: s.conn.sendall(b"".join(m.parts[:-1])) or s.stall()),
    ]
    return rows


def ids(**numbers):
    """SET_META's answer with other ids, which block status uses, too."""
    table = {ALLOCATION: numbers["zeroes"], MONDAY: numbers["dirty"]}

    def do(session, message):
        return [reply(OPT_SET_META, REP_META, u32(table[name]) + name)
                for name in session.chosen] + [reply(OPT_SET_META, REP_ACK)]
    return do


def set_rows():
    twice = reply(OPT_SET_META, REP_META, u32(9) + MONDAY)
    return [
        row("the same id for both contexts", "set", "eio",
            ids(zeroes=1, dirty=1)),
        row("ids that are not those told later", "set", "eio",
            ids(zeroes=11, dirty=12)),
        row("a context with two ids, the other first", "set", "safe",
            then_as_it_should(twice)),
        row("a context that was not asked for", "set", "served",
            then_as_it_should(reply(OPT_SET_META, REP_META,
                                    u32(7) + b"x:more"))),
        row("without base:allocation", "set", "refused", without(ALLOCATION),
            says="does not offer base:allocation"),
        row("without the bitmap, though it was listed", "set", "refused",
            without(MONDAY)),
        row("not fit for structured replies", "structured", "refused",
            say(reply(OPT_STRUCTURED, ERRORS["UNSUP"])), structured=False),
    ]


def list_rows():
    again = reply(OPT_LIST_META, REP_META, u32(2) + MONDAY)
    return [
        row("the same context five times", "list", "safe",
            then_as_it_should(again, again, again, again)),
        row("ids that are zero", "list", "served",
            say(reply(OPT_LIST_META, REP_META, u32(0) + MONDAY),
                reply(OPT_LIST_META, REP_ACK))),
    ]


def info(*parts):
    return say(*[reply(OPT_GO, REP_INFO, part) for part in parts],
               reply(OPT_GO, REP_ACK))


def export(size=SIZE, flags=HAS_FLAGS | READ_ONLY | MULTI_CONN, more=b""):
    return struct.pack(">HQH", INFO_EXPORT, size, flags) + more


def blocks(*sizes):
    return info(export(), struct.pack(">H3I", INFO_BLOCK_SIZE, *sizes))


def go_rows():
    rows = [row("size %s" % text, "go", expect, go_with(size=size), size=size,
                **more)
            for text, size, expect, more in (
                ("0", 0, "served", {}), ("2^63", 2 ** 63, "refused",
                                            {"says": "more than 2^63 bytes"}),
                ("2^64-1", 2 ** 64 - 1, "refused",
                 {"says": "more than 2^63 bytes"}),
                ("2^63-1", 2 ** 63 - 1, "safe",
                 {"light": True, "patience": 2, "cpu": 8}),
                ("2^63-512", 2 ** 63 - 512, "safe",
                 {"light": True, "patience": 2, "cpu": 8}),
                ("that is no multiple of 512", SIZE - 100, "served", {}),
                ("of one byte", 1, "served", {}))]
    rows += [row("block size %s" % (sizes,), "go", expect, blocks(*sizes))
             for sizes, expect in (
                 ((1, 4096, 33554432), "served"),
                 ((512, 4096, 0xffffffff), "served"),
                 ((0, 0, 0), "safe"), ((0, 4096, 33554432), "safe"),
                 ((3, 4096, 33554432), "safe"), ((4096, 512, 33554432), "safe"),
                 ((512, 4096, 256), "safe"), ((512, 5000, 33554432), "safe"),
                 ((131072, 131072, 33554432), "safe"),
                 ((0xffffffff,) * 3, "safe"), ((1, 1, 1), "safe"),
                 ((512, 4096, 33554433), "safe"))]
    rows += [row(name, "go", expect, do) for name, expect, do in (
        ("writable", "refused", info(export(flags=HAS_FLAGS | MULTI_CONN))),
        ("without flags", "refused", info(export(flags=0))),
        ("all flags", "safe", info(export(flags=0xffff))),
        ("unknown flags", "served", info(export(flags=0xf103))),
        ("no size is told", "refused", info()),
        ("another kind of info only", "refused",
         info(struct.pack(">H", 0x7777) + noise(20))),
        ("two sizes", "safe", info(export(SIZE * 2), export())),
        ("info too short", "refused", info(export()[:-1])),
        ("info too long", "refused", info(export(more=b"\0"))),
        ("info of one byte", "refused", info(b"\0")),
        ("block sizes too short", "refused",
         info(export(), struct.pack(">H2I", INFO_BLOCK_SIZE, 1, 512))),
        ("name and description, too", "served",
         info(export(), b"\0\1disk", b"\0\2a disk")),
        ("info without an end", "refused", for_ever(
            lambda s, m: reply(OPT_GO, REP_INFO, export()) * 100)))]
    rows += [row(name, "go", ("refused", "eio"), do) for name, do in (
        ("acknowledged twice", after_it(say(reply(OPT_GO, REP_ACK)))),
        ("then garbage", after_it(garbage)),
        ("then closes", after_it(close)), ("then resets", after_it(reset)),
        ("then zeroes for ever", after_it(zeroes_for_ever)))]
    return rows


def make_rows():
    rows = []
    for step, option in STEPS.items():
        rows += common_rows(step, option)
    for step in ("list", "set"):
        rows += meta_rows(step, STEPS[step])
    return rows + list_rows() + set_rows() + go_rows()


ROWS = make_rows()
