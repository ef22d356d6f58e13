# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Faults in the answers to block status.

from rogue_kinds import *
from rogue_reads import error, none, parts

IDS = {ALLOCATION: 1, MONDAY: 2, TUESDAY: 3}


def told(m, name, extents, flags=0, number=None):
    """A chunk with these extents: (length, flags)…"""
    return chunk(m.cookie, BLOCK_STATUS,
                 u32(IDS[name] if number is None else number)
                 + b"".join(u32(*extent) for extent in extents), flags)


def true(m, name, start=0, end=None):
    """The extents that there are in a part of what was asked for."""
    end = min(m.count if end is None else end, SIZE)
    return [tuple(run) for run in runs(m.offset + start, end - start,
                                       CONTEXTS[name][1])]


def with_contexts(make):
    """A fault that tells other extents of each context: make(m, name).  The
    last chunk is the end."""
    def do(session, m):
        return [told(m, name, make(m, name),
                     DONE if name == m.contexts[-1] else 0)
                for name in m.contexts]
    return do


def of(name, make):
    """Other extents for one context only."""
    return with_contexts(lambda m, context: make(m) if context == name
                         else true(m, context))


def dirty(make):
    return of(MONDAY, make)


def flags_changed(name, change):
    return of(name, lambda m: [(length, change(flags))
                               for length, flags in true(m, name)])


def bytewise(extents, most):
    (length, flags), rest = extents[0], extents[1:]
    single = min(length, most)
    return [(1, flags)] * single \
        + [(length - single, flags)] * (length > single) + rest


def every(size, extents):
    """Cut to pieces of that size."""
    return [(min(size, length - at), flags) for length, flags in extents
            for at in range(0, length, size)]


def within(m, extents):
    """Up to the end of the export; libnbd 1.22 fails what lies beyond."""
    made, rest = [], SIZE - m.offset
    for length, flags in extents:
        if rest > 0:
            made.append((min(length, rest), flags))
        rest -= length
    return made


def forgets(block):
    """One dirty block is called clean, always."""
    at = block % 64 * BLOCK

    def make(m):
        made, offset = [], m.offset
        for length, flags in every(BLOCK, true(m, MONDAY)):
            hit = offset <= at < offset + length
            made.append((length, 0 if hit else flags))
            offset += length
        return made
    return dirty(make)


def chunks(make):
    """From make(m, {name: chunk that is true, without the end})."""
    def do(session, m):
        return make(m, {name: told(m, name, true(m, name))
                        for name in m.contexts})
    return do


EXTENTS = [
    ("no extents", with_contexts(lambda m, name: []), {}),
    ("no dirty extents", dirty(lambda m: []), {}),
    ("extents of no length only", with_contexts(lambda m, name: [(0, 0)]),
     {}),
    ("a first dirty extent of no length", dirty(
        lambda m: [(0, 0)] + true(m, MONDAY)), {}),
    ("a million extents of no length", with_contexts(
        lambda m, name: [(0, 0)] * 1000000), {"cpu": 6}),
]
SAFE = [
    ("an extent of no length in the middle", dirty(
        lambda m: true(m, MONDAY)[:2] + [(0, 0)] + true(m, MONDAY)[2:]), {}),
    ("extents without end of 2^32-1 dirty bytes", dirty(
        lambda m: [(0xffffffff, 1)] * 64), {"dirty": "all"}),
    ("one dirty extent of 2^32-1 bytes", dirty(
        lambda m: [(0xffffffff, 1)]), {"dirty": "all"}),
    ("a last extent of 2^32-1 bytes", dirty(
        lambda m: true(m, MONDAY)[:-1] + [(0xffffffff, 1)]), {}),
    ("more dirty than there is", dirty(
        lambda m: [(m.count, 1), (m.count, 0)]), {"dirty": "all"}),
    ("8,388,607 extents of one byte", lambda s, m: [
        chunk(m.cookie, BLOCK_STATUS, u32(IDS[name]) + u32(1, 1) * 8388607,
              DONE if name == m.contexts[-1] else 0) for name in m.contexts],
     {"cpu": 10, "size": 2 * SIZE, "light": True, "dirty": "all"}),
    ("8,388,607 extents of one byte, dirty and clean", lambda s, m: [
        chunk(m.cookie, BLOCK_STATUS, u32(IDS[name])
              + u32(1, 1, 1, 0) * 4194303 + u32(1, 1),
              DONE if name == m.contexts[-1] else 0) for name in m.contexts],
     {"cpu": 15, "size": 2 * SIZE, "light": True, "dirty": "every other"}),
    ("8,388,608 extents", lambda s, m: [
        chunk(m.cookie, BLOCK_STATUS, u32(IDS[name]) + u32(1, 1) * 8388608,
              DONE if name == m.contexts[-1] else 0) for name in m.contexts],
     {"cpu": 10, "light": True}),
    ("8,388,607 extents of one context after the other", lambda s, m: (
        chunk(m.cookie, BLOCK_STATUS, u32(100 + i) + u32(1, 1) * 8388607)
        for i in range(8)), {"cpu": 15, "light": True, "patience": 3}),
]
CONTEXT = [
    ("wrong id", chunks(lambda m, c: [
        told(m, name, true(m, name), DONE * (name == m.contexts[-1]),
             number=77) for name in m.contexts])),
    ("wrong id for the bitmap", lambda s, m: [
        told(m, name, true(m, name), DONE * (name == m.contexts[-1]),
             number=77 if name == MONDAY else None) for name in m.contexts]),
    ("the bitmap twice", chunks(lambda m, c: [c[MONDAY]] * 2 + list(
        c.values()) + [none(m)])),
    ("the bitmap twice, clean first", chunks(lambda m, c: [
        told(m, MONDAY, [(m.count, 0)])] + list(c.values()) + [none(m)])),
    ("the bitmap is missing", chunks(lambda m, c: [
        c[name] for name in c if name != MONDAY] + [none(m)])),
    ("nothing, and the end", chunks(lambda m, c: [none(m)])),
    ("the bitmap twice, as if one were of the other", chunks(lambda m, c: [
        c[MONDAY], c[MONDAY], none(m)])),
    ("a chunk without an id", chunks(lambda m, c: [
        chunk(m.cookie, BLOCK_STATUS, b"", DONE)])),
    ("a chunk with half an extent", chunks(lambda m, c: [
        chunk(m.cookie, BLOCK_STATUS, u32(2, 65536), DONE)])),
    ("a chunk of 3 bytes", chunks(lambda m, c: [
        chunk(m.cookie, BLOCK_STATUS, b"abc", DONE)])),
    ("no end, then silence", lambda s, m: s.conn.sendall(
        b"".join([told(m, name, true(m, name)) for name in m.contexts]))
     or stall(s, m)),
    ("no end, then closes", lambda s, m: s.conn.sendall(
        b"".join([told(m, name, true(m, name)) for name in m.contexts]))
     or close(s, m)),
    ("an unknown context for ever", for_ever(
        lambda s, m: told(m, MONDAY, [(m.count, 0)], number=99) * 200)),
    ("the bitmap for ever", for_ever(
        lambda s, m: told(m, MONDAY, [(m.count, 1)]) * 200)),
    ("more after the end", chunks(lambda m, c: [none(m)] + list(c.values()))),
]
KINDS = [
    ("wrong magic", parts(lambda m: [
        chunk(m.cookie, BLOCK_STATUS, u32(2, m.count, 1), DONE, magic=1)])),
    ("wrong cookie", parts(lambda m: [
        chunk(m.cookie + 1, BLOCK_STATUS, u32(2, m.count, 1), DONE)])),
    ("an unknown kind of chunk", parts(lambda m: [
        chunk(m.cookie, 0x7777, u32(2, m.count, 1), DONE)])),
    ("data", parts(lambda m: [
        chunk(m.cookie, OFFSET_DATA, u64(m.offset) + b"abcd", DONE)])),
    ("a hole", parts(lambda m: [
        chunk(m.cookie, OFFSET_HOLE, u64(m.offset) + u32(m.count), DONE)])),
    ("a simple reply", parts(lambda m: [simple(m.cookie)])),
    ("a simple error", parts(lambda m: [simple(m.cookie, EIO)])),
    ("a chunk of 2^32-1 bytes", parts(lambda m: [
        chunk(m.cookie, BLOCK_STATUS, u32(2, m.count, 1), DONE,
              length=0xffffffff)])),
    ("an announced chunk is longer by 8", parts(lambda m: [
        chunk(m.cookie, BLOCK_STATUS, u32(2, m.count, 1), DONE,
              length=20)])),
    ("an announced chunk is shorter by 8", parts(lambda m: [
        chunk(m.cookie, BLOCK_STATUS, u32(2, m.count, 0, 0, 0), DONE,
              length=12)])),
    ("error 5", parts(lambda m: [error(m)])),
    ("error 95", parts(lambda m: [error(m, 95)])),
    ("an unknown errno", parts(lambda m: [error(m, 99999)])),
    ("errno 0", parts(lambda m: [error(m, 0)])),
    ("an unknown kind of error", parts(lambda m: [
        chunk(m.cookie, 0x8777, struct.pack(">IH", EIO, 0), DONE)])),
    ("an error, then extents", chunks(lambda m, c: [
        error(m, flags=0)] + list(c.values()) + [none(m)])),
    ("extents, then an error", chunks(lambda m, c: list(c.values()) + [
        error(m)])),
    ("clean extents, then an error", parts(lambda m: [
        told(m, MONDAY, [(m.count, 0)]), error(m)])),
    ("extents, then errno 0", chunks(lambda m, c: list(c.values()) + [
        error(m, 0)])),
]
LEGAL = [
    ("a part only", with_contexts(lambda m, name: true(
        m, name, 0, min(m.count, 3 * BLOCK))), {}),
    ("one extent only", with_contexts(lambda m, name: true(m, name)[:1]), {}),
    ("pieces of 64 KiB", with_contexts(
        lambda m, name: every(BLOCK, true(m, name))), {}),
    ("pieces of 512 bytes", with_contexts(
        lambda m, name: every(512, true(m, name))), {}),
    ("pieces of a byte first", with_contexts(
        lambda m, name: bytewise(true(m, name), 512)), {}),
    ("as far as one context says", of(ALLOCATION, lambda m: true(
        m, ALLOCATION, 0, min(m.count, 200000))), {}),
    ("as far as the bitmap says", dirty(lambda m: true(
        m, MONDAY, 0, min(m.count, 200000))), {}),
    ("the bitmap first", lambda s, m: [told(
        m, name, true(m, name), DONE * (name == m.contexts[0]))
        for name in reversed(m.contexts)], {}),
    ("the end by itself", chunks(lambda m, c: list(c.values()) + [none(m)]),
     {}),
    ("an unknown context, too", chunks(lambda m, c: [
        told(m, MONDAY, [(m.count, 0)], number=99)] + list(c.values())
        + [none(m)]), {}),
    ("a last extent that is longer", dirty(lambda m: within(
        m, true(m, MONDAY)[:-1] + [(0xffffffff, 1)])), {}),
    ("one dirty extent, longer than asked", dirty(lambda m: within(
        m, [(0xffffffff, 1)])), {"dirty": "all"}),
    ("unknown dirty flags beside the known one", flags_changed(
        MONDAY, lambda f: f | 0xfffffffe if f else 0), {}),
    ("unknown dirty flags for the known one", flags_changed(
        MONDAY, lambda f: 2 if f else 0), {}),
    ("the highest dirty flag for the known one", flags_changed(
        MONDAY, lambda f: 2 ** 31 if f else 0), {}),
    ("an unknown flag on what is clean", flags_changed(
        MONDAY, lambda f: f or 4), {"dirty": "all"}),
    ("unknown flags of base:allocation", flags_changed(
        ALLOCATION, lambda f: f | 0xfffffffc), {}),
    ("zeroes that are no holes", flags_changed(
        ALLOCATION, lambda f: f & 2), {}),
    ("512 bytes an answer", with_contexts(lambda m, name: true(
        m, name, 0, min(m.count, 512))), {"light": True, "cpu": 8}),
]
LIES = [
    ("all is clean", dirty(lambda m: [(m.count, 0)])),
    ("one block is clean", forgets(3)), ("the last block is clean",
                                         forgets(63)),
    ("a dirty zero is clean", forgets(24)),
    ("all is clean, and more", dirty(lambda m: within(
        m, [(0xffffffff, 0)]))),
    ("the contexts exchanged", lambda s, m: [
        told(m, name, true(m, name), DONE * (name == m.contexts[-1]),
             number=3 - IDS[name]) for name in m.contexts]),
    ("shifted by a block", dirty(lambda m: within(
        m, [(BLOCK, 1)] + true(m, MONDAY)))),
]


def progress_rows():
    """Of a disk so large that an answer a time takes for ever."""
    huge = {"size": 2 ** 40, "ask": 2 ** 31, "light": True, "patience": 2,
            "cpu": 10, "dirty": "all"}
    return [
        row(name, "status", "eio", with_contexts(
            lambda m, context, step=step: [(step, 1)]), **huge)
        for name, step in (("512 bytes an answer, of a TiB", 512),
                           ("a byte an answer, of a TiB", 1),
                           ("64 KiB an answer, of a TiB", BLOCK))] + [
        row("64 KiB an answer, of a TiB, ended meanwhile", "status", "eio",
            with_contexts(lambda m, context: [(BLOCK, 1)]), size=2 ** 40,
            ask=2 ** 31, light=True, cpu=10, dirty="all", end="asking")]


def make_rows():
    rows = [row(name, "status", "eio", do, patience=2, views=True)
            for name, do in ANYWHERE]
    rows += [row("after two, " + name, "status", "eio", do, patience=2,
                 after_all=2, status_limit=MIB)
             for name, do in (("closes", close), ("stalls", stall),
                              ("half", half(stall)),
                              ("no extents", EXTENTS[0][1]),
                              ("an error", KINDS[10][1]))]
    rows += [row(name, "status", "eio", do, patience=2, **more)
             for name, do, more in EXTENTS]
    rows += [row(name, "status", "safe", do, **{"patience": 2, **more})
             for name, do, more in SAFE]
    rows += [row(name, "status", "eio", do, patience=2, cpu=6)
             for table in (CONTEXT, KINDS) for name, do in table]
    rows += [row(name, "status", "served", do, views=True, **more)
             for name, do, more in LEGAL]
    rows += [row(name, "status", "lie", do) for name, do in LIES]
    # Reads go on without a map, so that only some requests fail.
    rows += [row("data called zero", "status", "lie", flags_changed(
        ALLOCATION, lambda f: 3)),
             row("base:allocation is missing", "status", "safe", chunks(
                 lambda m, c: [c[MONDAY], none(m)]))]
    rows += [row(name + ", ended meanwhile", "status", "eio", do,
                 end="asking") for name, do in (
                     ("stalls", stall), ("half, then silence", half(stall)),
                     ("an unknown context for ever", CONTEXT[12][1]))]
    return rows + progress_rows()


ROWS = make_rows()
