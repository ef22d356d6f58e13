# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# What can go wrong at any step of rogue_server.py, and how a row of the table
# looks.
#
#   refused   nbdkit does not start, and says why in one line, in bounded time
#   eio       requests fail, or no client is let in; nothing wrong is told
#   served    odd, but within the protocol: all is served, and truly
#   safe      whichever of these, as nothing wrong is told
#   lie       nobody can see it but who knows the disk: the test must

import os
import random

from rogue_server import Hangup
from rogue_wire import *

# Here, well behind the first two MiB, which are read ahead, faults of reads are.
FAULTY = (0x240000, 0x280000)


# The first of nbdkit's connections, all others, and those beyond a pool.
FIRST, EXTRA, LATE = range(1), range(1, 2 ** 32), range(8, 2 ** 32)


def row(name, step, expect, do, **settings):
    return dict(settings, name=step + ": " + name, step=step, expect=expect,
                do=do)


def close(session, message):
    raise Hangup


def reset(session, message):
    session.reset()


def stall(session, message):
    session.stall()


def first_bytes(count, then):
    """The first bytes of the message (a negative count: all but the last)."""
    def do(session, message):
        session.conn.sendall(message.bytes[:count])
        then(session, message)
    return do


def half(then):
    def do(session, message):
        session.conn.sendall(message.bytes[:len(message.bytes) // 2])
        then(session, message)
    return do


def after_it(then):
    """As it should be, and then that."""
    def do(session, message):
        session.conn.sendall(message.bytes)
        return then(session, message)
    return do


def trickle(session, message):
    for byte in message.bytes:
        session.conn.sendall(bytes([byte]))
        session.pause(0.6)


def noise(count):
    return random.Random(count).randbytes(count)


def garbage(session, message):
    return noise(max(len(message.bytes), 64)) + b"\xff" * 64


def say(*parts):
    def do(session, message):
        return list(parts)
    return do


def raw(data, then=stall):
    """Past TLS, if there is any."""
    def do(session, message):
        os.write(session.conn.fileno(), data)
        then(session, message)
    return do


def echo(session, message):
    while True:
        data = session.conn.recv(65536)
        if not data:
            raise Hangup
        session.conn.sendall(data)


def for_ever(make):
    """The same bytes, again and again."""
    def do(session, message):
        data = make(session, message)
        while not session.server.over.is_set():
            session.conn.sendall(data)
        raise Hangup
    return do


def zeroes_for_ever(session, message):
    return for_ever(lambda s, m: bytes(65536))(session, message)


def later(seconds, then):
    def do(session, message):
        session.pause(seconds)
        return then(session, message)
    return do


# Which all steps have in common, where something is sent.
ANYWHERE = [
    ("closes", close), ("resets", reset), ("stalls", stall),
    ("half of it, then closes", half(close)),
    ("half of it, then stalls", half(stall)),
    ("one byte, then closes", first_bytes(1, close)),
    ("all but a byte, then closes", first_bytes(-1, close)),
    ("all but a byte, then stalls", first_bytes(-1, stall)),
    ("a byte at a time, for ever", trickle), ("garbage", garbage),
    ("zeroes for ever", zeroes_for_ever),
]
