# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Random writes and zeroes to disks with chains of images, bitmaps of any
# granularity in each layer; then all ways in which qemu-checkpoint map prints
# are what a model says.
#
#   property-map.py SEED ROUNDS TOOL

import json
import os
import random
import re
import subprocess
import sys
import xml.etree.ElementTree as xml

UNIT = 512
CLUSTER = 65536
CLEAN, DIRTY, ZERO = 0, 1, 3
SVG = "{http://www.w3.org/2000/svg}"
SVG_COLUMNS = 128
# How cells are drawn, by level: see map-cells.h.
BLOCKS, LETTERS = "·▂▄░▒▓█", ".o0-+*#"


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE,
                          text=True, **options).stdout


class Disk:
    def __init__(self, rng, size):
        self.rng, self.size, self.top = rng, size, None
        self.dirty = bytearray(size // UNIT)    # since the checkpoint
        self.data = bytearray(size // UNIT)     # is not zero
        # QEMU may say so of it: whole clusters, but for holes of their file
        self.allocated = bytearray(size // UNIT)
        self.granularity = 0

    def new_layer(self, name):
        below = ["-b", self.top, "-F", "qcow2"] if self.top else []
        run("qemu-img", "create", "-q", "-f", "qcow2", *below, name,
            str(self.size))
        self.top = name

    def add_bitmap(self):
        self.granularity = self.rng.choice([512, 4096, 65536, 65536, 1 << 20])
        self.coarsest = max(getattr(self, "coarsest", 0), self.granularity)
        run("qemu-img", "bitmap", "--add", "-g", str(self.granularity),
            self.top, "monday")

    def write(self, count):
        commands = []
        for _ in range(count):
            zero = self.rng.random() < .4
            unit = CLUSTER if zero else self.rng.choice([UNIT, 4096, CLUSTER])
            units = self.size // unit
            at = self.rng.randrange(units)
            n = min(units - at, self.rng.choice([1, 1, 2, 30, 300]))
            begin, end = at * unit, (at + n) * unit
            commands += ["-c", "write -q %s %d %d" % ("-z" if zero else "-P 7",
                                                      begin, end - begin)]
            self.mark(begin, end, zero)
        run("qemu-io", "-f", "qcow2", *commands, self.top)

    def mark(self, begin, end, zero):
        g = self.granularity
        if g:
            first, last = begin // g * g, min(-(-end // g) * g, self.size)
            self.dirty[first // UNIT:last // UNIT] \
                = b"\1" * ((last - first) // UNIT)
        units = (end - begin) // UNIT
        self.data[begin // UNIT:end // UNIT] = bytes([not zero]) * units
        first, last = begin, end
        if not zero:
            first = begin // CLUSTER * CLUSTER
            last = min(-(-end // CLUSTER) * CLUSTER, self.size)
        self.allocated[first // UNIT:last // UNIT] \
            = bytes([not zero]) * ((last - first) // UNIT)

    def allows(self, states):
        """May these be the states of all units?"""
        return len(states) == len(self.dirty) and all(
            state == CLEAN if not dirty else state == DIRTY if data
            else state == ZERO or (allocated and state == DIRTY)
            for state, dirty, data, allocated
            in zip(states, self.dirty, self.data, self.allocated))


def make(rng):
    disk = Disk(rng, rng.randrange(1, 900) * CLUSTER
                + rng.choice([0, 0, UNIT, 7 * UNIT]))
    disk.new_layer("base.qcow2")
    disk.write(rng.randrange(4))
    disk.add_bitmap()
    for number in range(rng.randrange(3)):
        disk.write(rng.randrange(8))
        disk.new_layer("layer%d.qcow2" % number)
        disk.add_bitmap()
    disk.write(rng.randrange(1, 10))
    return disk


def spread(extents, size):
    """[(offset, bytes, state)] that cover all of the disk, in order, in maximal
    runs → states of all units."""
    states, at, before = bytearray(), 0, None
    for offset, length, state in extents:
        assert offset == at and length > 0 and length % UNIT == 0
        assert state != before
        states += bytes([state]) * (length // UNIT)
        at, before = offset + length, state
    assert at == size
    return states


def from_types(extents):
    words = {0: ("data", DIRTY), 1: ("hole", CLEAN), 3: ("hole,zero", ZERO)}
    for e in extents:
        word, state = words[e["type"]]
        assert e["description"] == word and len(e) == 4
        yield e["offset"], e["length"], state


def from_lines(text):
    words = {"": DIRTY, "hole": CLEAN, "hole,zero": ZERO}
    for line in text.splitlines():
        fields = line.split(" ")
        yield int(fields[0]), int(fields[1]), words[" ".join(fields[2:])]


def from_imageio(extents):
    for e in extents:
        assert len(e) == 4 and (e["dirty"] or not e["zero"])
        yield e["start"], e["length"], \
            ZERO if e["zero"] else DIRTY if e["dirty"] else CLEAN


def from_kubevirt(page):
    assert page["next_offset"] is None and len(page) == 2
    words = {"clean": CLEAN, "dirty": DIRTY, "dirty,zero": ZERO}
    for e in page["extents"]:
        assert e["type"] == words[e["description"]] and len(e) == 4
        yield e["offset"], e["length"], e["type"]


def levels(states, cell):
    """How each cell of so many bytes is drawn."""
    step = cell // UNIT
    for i in range(0, len(states), step):
        part = states[i:i + step]
        dirty, zero = len(part) - part.count(CLEAN), part.count(ZERO)
        if dirty == 0:
            yield 0
        elif dirty == zero:
            yield 2 if zero * 2 > len(part) else 1
        else:
            quarter = (len(part) * UNIT + 3) // 4
            yield 3 + min(3, (dirty * UNIT - 1) // quarter)


def size_of(text):
    number, unit = text.split(" ")
    return int(float(number) * 1024 ** ["B", "KiB", "MiB"].index(unit))


def check_text(text, signs, states):
    cell = size_of(re.search("a cell is ([0-9.]+ [KMi]*B)", text).group(1))
    rows = re.findall("^ *[0-9.]+ [KMi]*B  ([%s]+)$" % re.escape(signs), text,
                      re.M)
    assert all(len(row) == len(rows[0]) for row in rows[:-1])
    assert "".join(rows) == "".join(signs[n] for n in levels(states, cell))


def check_svg(text, states):
    tree = xml.fromstring(text)
    cell = size_of(re.search("a cell is ([0-9.]+ [KMi]*B)", text).group(1))
    drawn = {}
    for path in tree.find(SVG + "g").iter(SVG + "path"):
        for x, y, n in re.findall(r"M(\d+) (\d+)\.5h(\d+)", path.get("d")):
            for i in range(int(n)):
                at = int(y) * SVG_COLUMNS + int(x) + i
                assert at not in drawn and int(x) + i < SVG_COLUMNS
                drawn[at] = int(path.get("class")[1:])
    assert [drawn[at] for at in sorted(drawn)] == list(levels(states, cell))
    assert sorted(drawn) == list(range(len(drawn)))


def check(tool, disk, rng):
    command = [tool, "map", "monday", "--file=" + disk.top]
    size = disk.size

    def printed(*options, **environment):
        return run(*command, *options, env=dict(os.environ, **environment))

    states = spread(from_types(json.loads(printed("--json"))), size)
    assert disk.allows(states)
    for option, read in (("--imageio", from_imageio), ("--kubevirt", from_kubevirt)):
        assert spread(read(json.loads(printed(option))), size) == states, option
    assert spread(from_lines(printed("--extents")), size) == states
    columns = str(rng.choice([20, 40, 80, 132, 300]))
    check_text(printed("--text", COLUMNS=columns, LC_ALL="C"), LETTERS, states)
    check_text(printed("--text", COLUMNS=columns, LC_ALL="C.UTF-8"), BLOCKS,
               states)
    svg = printed("--svg=-")
    check_svg(svg, states)
    dirty = len(states) - states.count(CLEAN)
    runs = re.sub(b"[\1\3]+", b"D", bytes(states)).count(b"D")
    assert " in %d run%s, " % (runs, "s" * (runs != 1)) in svg
    assert "(%s)" % ("under 0.1 %" if 0 < dirty * 1000 < len(states)
                     else "over 99.9 %" if 0 < len(states) - dirty
                     <= len(states) * .0005
                     else "%.1f %%" % (100 * dirty / len(states))) in svg
    zero = states.count(ZERO) * UNIT
    assert ", %s of it zeroes" % (
        "%d B" % zero if zero < 1024 else "%.1f KiB" % (zero / 1024)
        if zero < 1 << 20 else "%.1f MiB" % (zero / (1 << 20))) in svg
    return runs


def main():
    seed, rounds, tool = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    for number in range(seed, seed + rounds):
        print("SEED=%d ROUNDS=1" % number, flush=True)
        rng = random.Random(number)
        disk = make(rng)
        print("%d bytes, %s, %d runs" % (disk.size, disk.top,
                                         check(tool, disk, rng)))
        for name in os.listdir("."):
            if name.endswith(".qcow2"):
                os.unlink(name)


main()
