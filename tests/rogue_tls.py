# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Faults of a server with TLS.

import ssl

import rogue_reads
import rogue_status
from rogue_kinds import *

ACK = reply(OPT_STARTTLS, REP_ACK)
CHANGE_CIPHER = b"\x14\3\3\0\1\1"
ALERT = b"\x15\3\3\0\2\2\x28"           # fatal: handshake failure


def tls_row(name, step, expect, do, **settings):
    return row(name, step, expect, do, tls=True, cpu=1.5, **settings)


def only(version):
    """Of TLS, this version only; too old ones are refused by GnuTLS."""
    def do(session, message):
        session.server.tls.minimum_version = version
        session.server.tls.maximum_version = version
        # OpenSSL would not do it, else.
        session.server.tls.set_ciphers("ALL:@SECLEVEL=0")
    return do


def certificate(name):
    def do(session, message):
        session.server.tls.load_cert_chain("pki/%s-cert.pem" % name,
                                           "pki/%s-key.pem" % name)
    return do


def starttls_rows():
    rows = [tls_row(name, "starttls", "refused", do) for name, do in ANYWHERE]
    rows += [tls_row("error " + name, "starttls", "refused",
                     say(reply(OPT_STARTTLS, number)))
             for name, number in ERRORS.items()]
    rows += [tls_row(name, "starttls", "refused", say(*parts))
             for name, parts in (
                 ("wrong magic", [reply(OPT_STARTTLS, REP_ACK, magic=1)]),
                 ("of another option", [reply(OPT_STRUCTURED, REP_ACK)]),
                 ("an unknown kind of reply", [reply(OPT_STARTTLS, 0x7777)]),
                 ("a reply that is 2^32-1 bytes long",
                  [reply(OPT_STARTTLS, REP_ACK, length=0xffffffff)]),
                 ("acknowledged twice", [ACK, ACK]))]
    return rows


def handshake_rows():
    plain = reply(OPT_STRUCTURED, REP_ACK)
    rows = [tls_row(name, "tls", "refused", do) for name, do in (
        ("closes", close), ("resets", reset), ("is silent", stall),
        ("garbage", raw(noise(500))), ("zeroes for ever", zeroes_for_ever),
        ("goes on in plain text", raw(plain)),
        ("plain text, then closes", raw(plain, close)),
        ("a web server", raw(b"HTTP/1.1 400 Bad Request\r\n\r\n", close)),
        ("an alert", raw(ALERT, close)), ("an alert, then silence",
                                          raw(ALERT)),
        ("half a record", raw(b"\x16\3\3\x20\0" + noise(100))),
        ("half a record, then closes",
         raw(b"\x16\3\3\x20\0" + noise(100), close)),
        ("the longest record", raw(b"\x16\3\3\xff\xff" + noise(65535))),
        ("one byte", raw(b"\x16")), ("one byte, then closes",
                                     raw(b"\x16", close)),
        ("only a change of the cipher", raw(CHANGE_CIPHER)),
        ("warnings for ever", for_ever(
            lambda s, m: b"\x15\3\3\0\2\1\0" * 100)),
        ("empty records for ever", for_ever(lambda s, m: b"\x16\3\3\0\0" * 9)),
        ("a byte a second", lambda s, m: [s.conn.sendall(b"\x16\3\3\0\x40"[
            i:i + 1]) or s.pause(1) for i in range(5)] and s.stall()),
        ("echo", echo))]
    rows += [tls_row("certificate " + name, "tls", "refused",
                     certificate(name))
             for name in ("expired", "stranger", "elsewhere")]
    rows += [tls_row(name, "tls", expect, only(version))
             for name, expect, version in (
                 ("TLS 1.2", "served", ssl.TLSVersion.TLSv1_2),
                 ("TLS 1.3", "served", ssl.TLSVersion.TLSv1_3))]
    return rows


def later_rows():
    rows = [tls_row(name, "tls-options", "refused", do) for name, do in (
        ("closes", close), ("resets", reset), ("stalls", stall),
        ("plain text", raw(reply(OPT_STRUCTURED, REP_ACK))),
        ("garbage", raw(noise(500))), ("an alert", raw(ALERT, close)),
        ("an empty record", raw(b"\x17\3\3\0\0")),
        ("half a record", raw(b"\x17\3\3\x20\0" + noise(100))))]
    rows += [tls_row(name, step, "eio", do, where=FAULTY, patience=2)
             for step in ("read",) for name, do in (
                 ("plain text (TLS)", raw(noise(100))),
                 ("an alert (TLS)", raw(ALERT, close)),
                 ("half a record (TLS)",
                  raw(b"\x17\3\3\x20\0" + noise(100))),
                 ("the first half twice (TLS)", rogue_reads.first_half_twice),
                 ("closes (TLS)", close), ("resets (TLS)", reset),
                 ("stalls (TLS)", stall), ("half (TLS)", half(stall)))]
    rows += [
        tls_row("stalls, ended meanwhile (TLS)", "read", "eio", stall,
                where=FAULTY, end="reading"),
        tls_row("stalls (TLS)", "status", "eio", stall, patience=2),
        tls_row("closes (TLS)", "status", "eio", close),
        tls_row("a dirty block is called clean (TLS)", "status", "lie",
                rogue_status.forgets(70)),
        tls_row("another connection is silent", "tls", "served", stall,
                conns=EXTRA),
        tls_row("another connection closes", "tls", "served", close,
                conns=EXTRA),
        tls_row("correct (TLS)", "none", "served", close),
    ]
    return rows


ROWS = starttls_rows() + handshake_rows() + later_rows()
