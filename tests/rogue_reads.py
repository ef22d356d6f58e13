# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Faults in the answers to reads.

from rogue_kinds import *


def data(m, start=0, end=None, flags=0, at=None, **changes):
    """A chunk with the bytes from start to end of what was asked for; at: the
    offset that it tells."""
    end = m.count if end is None else end
    offset = m.offset + start
    return chunk(m.cookie, OFFSET_DATA, u64((offset if at is None else at)
                                            % 2 ** 64)
                 + contents(offset, end - start), flags, **changes)


def hole(m, start=0, length=None, flags=0, at=None):
    length = m.count - start if length is None else length
    offset = m.offset + start if at is None else at
    return chunk(m.cookie, OFFSET_HOLE, u64(offset % 2 ** 64) + u32(length),
                 flags)


def none(m, data=b"", flags=DONE):
    return chunk(m.cookie, NONE, data, flags)


def error(m, number=EIO, text=b"", flags=DONE, length=None, at=None):
    """With an offset if that is given."""
    body = struct.pack(">IH", number, len(text) if length is None else length)
    return chunk(m.cookie, ERROR if at is None else ERROR_OFFSET,
                 body + text + (b"" if at is None else u64(at % 2 ** 64)),
                 flags)


def parts(make):
    """A fault from what makes a list of parts from the message."""
    return lambda session, message: make(message)


def mid(m):
    return m.count // 1024 * 512


@parts
def first_half_twice(m):
    return [data(m, 0, mid(m)),
            data(m, 0, m.count - mid(m), DONE)]


COVERAGE = [
    ("the first half twice", first_half_twice),
    ("the second half twice", parts(lambda m: [
        data(m, m.count - mid(m)), data(m, mid(m), flags=DONE)])),
    ("a first half of holes, and again of data", parts(lambda m: [
        hole(m, 0, mid(m)), data(m, 0, m.count - mid(m), DONE)])),
    ("a first half of data, and again of holes", parts(lambda m: [
        data(m, 0, mid(m)), hole(m, 0, m.count - mid(m), DONE)])),
    ("all as a hole, and again as data", parts(lambda m: [
        hole(m), data(m, flags=DONE)])),
    ("all as data, and again as a hole", parts(lambda m: [
        data(m), hole(m, flags=DONE)])),
    ("one sector twice, another never", parts(lambda m: [
        data(m, 0, 1024), data(m, 512, m.count - 512, DONE)])),
    ("one sector four times", parts(lambda m: [data(m, 0, 512)] * 4 + [
        data(m, 2048, flags=DONE)])),
    ("one byte too few", parts(lambda m: [
        data(m, 0, m.count - 1, DONE)])),
    ("the first byte is missing", parts(lambda m: [data(m, 1, flags=DONE)])),
    ("half, and the end", parts(lambda m: [data(m, 0, mid(m), DONE)])),
    ("half, and then the end", parts(lambda m: [
        data(m, 0, mid(m)), none(m)])),
    ("nothing, and the end", parts(lambda m: [none(m)])),
    ("nothing, and then nothing", parts(lambda m: [none(m)] * 2)),
    ("a hole of one byte too few", parts(lambda m: [
        hole(m, 0, m.count - 1, DONE)])),
]
RANGES = [
    ("before what was asked for", parts(lambda m: [
        data(m, flags=DONE, at=m.offset - 512)])),
    ("behind what was asked for", parts(lambda m: [
        data(m, flags=DONE, at=m.offset + 512)])),
    ("of another place", parts(lambda m: [
        data(m, flags=DONE, at=m.offset + m.count)])),
    ("beyond the disk", parts(lambda m: [
        data(m, flags=DONE, at=2 ** 63)])),
    ("at 2^64-1", parts(lambda m: [data(m, flags=DONE, at=2 ** 64 - 1)])),
    ("too many bytes", parts(lambda m: [
        data(m, 0, m.count + 512, DONE)])),
    ("one byte too many", parts(lambda m: [data(m, 0, m.count + 1, DONE)])),
    ("the last half reaches too far", parts(lambda m: [
        data(m, 0, mid(m)), data(m, mid(m), m.count + 1, DONE)])),
    ("a hole too long", parts(lambda m: [hole(m, 0, m.count + 1, DONE)])),
    ("a hole of 2^32-1 bytes", parts(lambda m: [
        hole(m, 0, 0xffffffff, DONE)])),
    ("a hole before what was asked for", parts(lambda m: [
        hole(m, at=m.offset - 1, flags=DONE)])),
    ("a hole at 2^64-512", parts(lambda m: [
        hole(m, 0, m.count, DONE, at=2 ** 64 - 512)])),
    ("a hole of no length, and the end", parts(lambda m: [
        hole(m, 0, 0, DONE)])),
]
ORDER = [
    ("data after the end", parts(lambda m: [
        data(m, 0, mid(m), DONE), data(m, mid(m), flags=DONE)])),
    ("no end, then closes", lambda s, m: s.conn.sendall(data(m)) or close(
        s, m)),
    ("no end, then silence", lambda s, m: s.conn.sendall(data(m)) or stall(
        s, m)),
    ("half, then closes", lambda s, m: s.conn.sendall(
        data(m, 0, mid(m))) or close(s, m)),
    ("half, then silence", lambda s, m: s.conn.sendall(
        data(m, 0, mid(m))) or stall(s, m)),
    ("nothing, and no end, then data", parts(lambda m: [
        none(m, flags=0), data(m, flags=DONE)])),
    ("bytes where there should be nothing", parts(lambda m: [
        none(m, b"abcd")])),
    ("the same byte for ever", for_ever(
        lambda s, m: data(m, 0, 1) * 200)),
    ("the same hole for ever", for_ever(lambda s, m: hole(m) * 200)),
    ("errors for ever", for_ever(lambda s, m: error(m, flags=0) * 200)),
    ("nothing for ever", for_ever(lambda s, m: none(m, flags=0) * 200)),
    ("holes of no length for ever", for_ever(
        lambda s, m: hole(m, 0, 0) * 200)),
]
KINDS = [
    ("wrong magic", parts(lambda m: [data(m, flags=DONE, magic=1)])),
    ("wrong cookie", parts(lambda m: [
        chunk(m.cookie ^ 2 ** 40, OFFSET_DATA, b"", DONE)])),
    ("the next cookie", parts(lambda m: [
        chunk(m.cookie + 1, OFFSET_DATA,
              u64(m.offset) + contents(m.offset, m.count), DONE)])),
    ("cookie 0", parts(lambda m: [chunk(0, NONE, b"", DONE)])),
    ("an unknown kind of chunk", parts(lambda m: [
        chunk(m.cookie, 0x7777, noise(20)), data(m, flags=DONE)])),
    ("an unknown kind of error", parts(lambda m: [
        chunk(m.cookie, 0x8777, struct.pack(">IH", EIO, 0), DONE)])),
    ("block status", parts(lambda m: [
        chunk(m.cookie, BLOCK_STATUS, u32(2, m.count, 1), DONE)])),
    ("a simple reply", parts(lambda m: [
        simple(m.cookie, 0, contents(m.offset, m.count))])),
    ("a simple reply without data", parts(lambda m: [simple(m.cookie)])),
    ("a simple error", parts(lambda m: [simple(m.cookie, EIO)])),
    ("an unknown simple error", parts(lambda m: [simple(m.cookie, 9999)])),
    ("old data of a simple reply in a chunk", parts(lambda m: [
        data(m, 0, mid(m)), simple(m.cookie, 0,
                                   contents(m.offset, m.count))])),
    ("an announced chunk is longer by 8", parts(lambda m: [
        data(m, flags=DONE, length=m.count + 16)])),
    ("an announced chunk is shorter by 8", parts(lambda m: [
        data(m, flags=DONE, length=m.count)])),
    ("a chunk of 2^32-1 bytes", parts(lambda m: [
        data(m, flags=DONE, length=0xffffffff)])),
    ("a chunk of 64 MiB", parts(lambda m: [
        data(m, flags=DONE, length=64 * MIB)])),
    ("a chunk of 64 MiB and 9 bytes", parts(lambda m: [
        data(m, flags=DONE, length=64 * MIB + 9)])),
    ("a chunk of 4 bytes", parts(lambda m: [
        chunk(m.cookie, OFFSET_DATA, b"abcd", DONE)])),
    ("a chunk without bytes", parts(lambda m: [
        chunk(m.cookie, OFFSET_DATA, u64(m.offset), DONE)])),
    ("a hole of 8 bytes", parts(lambda m: [
        chunk(m.cookie, OFFSET_HOLE, u64(m.offset), DONE)])),
    ("a hole of 16 bytes", parts(lambda m: [
        chunk(m.cookie, OFFSET_HOLE, u64(m.offset) + u64(m.count), DONE)])),
]
FAILURES = [
    ("an error, then data", parts(lambda m: [
        error(m, flags=0), data(m, flags=DONE)])),
    ("data, then an error", parts(lambda m: [data(m), error(m)])),
    ("half, then an error", parts(lambda m: [data(m, 0, mid(m)), error(m)])),
    ("errno 0, and the end", parts(lambda m: [error(m, 0)])),
    ("half, then errno 0", parts(lambda m: [
        data(m, 0, mid(m)), error(m, 0)])),
    ("an unknown errno", parts(lambda m: [error(m, 99999)])),
    ("an error with a text", parts(lambda m: [error(m, EIO, b"no")])),
    ("an error with 4,096 bytes of text", parts(lambda m: [
        error(m, EIO, b"n\xff\n\0" * 1024)])),
    ("an error with 65,535 bytes of text", parts(lambda m: [
        error(m, EIO, b"x" * 65535)])),
    ("an error whose text is shorter than told", parts(lambda m: [
        error(m, EIO, b"no", length=400)])),
    ("an error of 3 bytes", parts(lambda m: [
        chunk(m.cookie, ERROR, b"abc", DONE)])),
    ("an error at an offset", parts(lambda m: [error(m, at=m.offset)])),
    ("an error at a wrong offset", parts(lambda m: [error(m, at=2 ** 63)])),
    ("an error without its offset", parts(lambda m: [
        chunk(m.cookie, ERROR_OFFSET, struct.pack(">IH", EIO, 0), DONE)])),
    ("an error, and no end", lambda s, m: s.conn.sendall(
        error(m, flags=0)) or stall(s, m)),
]


def sectors(m, size, order):
    pieces = [(at, min(at + size, m.count)) for at in range(0, m.count, size)]
    order(pieces)
    return [data(m, *piece, DONE if i == len(pieces) - 1 else 0)
            for i, piece in enumerate(pieces)]


def holes(m):
    """As a sparse file would be sent, the end by itself."""
    found, at = [], 0
    while at < m.count:
        step = min(m.count - at, 4096 - (m.offset + at) % 4096)
        zero = not any(contents(m.offset + at, step))
        found.append(hole(m, at, step) if zero else data(m, at, at + step))
        at += step
    return found + [none(m)]


LEGAL = [
    ("4 KiB a chunk, the last first", parts(lambda m: sectors(
        m, 4096, list.reverse))),
    ("4 KiB a chunk, in any order", parts(lambda m: sectors(
        m, 4096, random.Random(5).shuffle))),
    ("512 bytes a chunk", parts(lambda m: sectors(m, 512, len))),
    ("the first bytes one by one", parts(lambda m: [
        data(m, i, i + 1) for i in range(512)] + [data(m, 512, flags=DONE)])),
    ("holes where there are zeroes", parts(holes)),
    ("the end by itself", parts(lambda m: [data(m), none(m)])),
    ("the end by itself, later", lambda s, m: s.conn.sendall(
        data(m)) or s.pause(0.02) or none(m)),
    ("in pieces, with pauses", lambda s, m: [
        s.conn.sendall(data(m, flags=DONE)[:30]), s.pause(0.01),
        s.conn.sendall(data(m, flags=DONE)[30:])] and None),
    ("unknown flags", parts(lambda m: [data(m, flags=0xfffe | DONE)])),
]


def spoiled(m, at):
    """One byte is another."""
    spoilt = bytearray(data(m, flags=DONE))
    spoilt[28 + at] ^= 1
    return bytes(spoilt)


LIES = [
    ("one bit is another", parts(lambda m: spoiled(m, m.count // 2))),
    ("the last byte is another", parts(lambda m: spoiled(m, m.count - 1))),
    ("the next sector's bytes", parts(lambda m: [chunk(
        m.cookie, OFFSET_DATA, u64(m.offset)
        + contents(m.offset + 512, m.count), DONE)])),
    ("a hole where there is data", parts(lambda m: [hole(m, flags=DONE)])),
    ("halves exchanged", parts(lambda m: [
        data(m, mid(m), 2 * mid(m), at=m.offset),
        data(m, 0, m.count - mid(m), DONE, at=m.offset + mid(m))])),
]


def make_rows():
    rows = [row(name, "read", "eio", do, where=FAULTY, patience=2)
            for name, do in ANYWHERE]
    # The log has libnbd's reason where libnbd sees it.
    rows += [row(name, "read", "eio", do, where=FAULTY, patience=2, cpu=6,
                 says="out of bounds" if table is RANGES
                 and "no length" not in name else "")
             for table in (COVERAGE, RANGES, ORDER, KINDS, FAILURES)
             for name, do in table]
    rows += [row("error %d" % number, "read", "eio",
                 parts(lambda m, number=number: [error(m, number)]),
                 where=FAULTY, rest=True)
             for number in (1, 5, 12, 22, 28, 75, 95, 108)]
    rows += [row(name, "read", "served", do, light=True, cpu=8)
             for name, do in LEGAL]
    rows += [row(name, "read", "lie", do, where=FAULTY) for name, do in LIES]
    rows += [row("another connection: one bit is another", "read", "lie",
                 LIES[0][1], conns=EXTRA),
             row("slow", "none", "served", close, delay=0.05, light=True)]
    rows += [row(name + ", ended meanwhile", "read", "eio", do, where=FAULTY,
                 end="reading") for name, do in (
                     ("stalls", stall), ("half, then silence", half(stall)),
                     ("a byte at a time", trickle),
                     ("the same byte for ever", ORDER[7][1]))]
    return rows + request_rows()


def request_rows():
    """Between answers."""
    rows = [row(name, "requests", "eio", do, conns=conns, after=after,
                patience=2)
            for what, conns, after in (("all", range(2 ** 32), 3),
                                    ("others", EXTRA, 1))
            for name, do in (
                ("closes (%s)" % what, close), ("resets (%s)" % what, reset),
                ("is deaf (%s)" % what, stall),
                ("garbage (%s)" % what, garbage),
                ("closes while idle (%s)" % what, later(0.3, close)))]
    # libnbd 1.22 takes no notice.
    rows += [row("an answer to nothing", "requests", "safe", after_it(
        lambda s, m: chunk(77, NONE, b"", DONE)), after=3)]
    # Garbage is met only by those who read there.
    rows += [row(name, "requests", expect, do, conns=FIRST)
             for name, expect, do in (
                 ("closes before the first", ("refused", "eio"), close),
                 ("garbage before the first", "safe", garbage))]
    return rows


ROWS = make_rows()
