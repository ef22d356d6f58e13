#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# shown-views.py PRINT_MAP PLUGIN FILTER ROUNDS: random disks, some of two layers.
# What is derived from holes of a view is sector by sector what the bitmaps say,
# in each view; and with a filter in between that makes extents coarser, either
# nothing is clean that was dirty, or it is refused.

import os
import random
import subprocess
import sys

PRINT_MAP, PLUGIN, FILTER, ROUNDS = sys.argv[1:]
SEED = int(os.environ.get("SEED") or random.randrange(1 << 32))
SECTOR = 512
STATES = {"clean": 0, "zero": 1, "dirty": 2}
print("SEED=%d" % SEED, flush=True)


def run(*words, **how):
    how.setdefault("check", True)
    return subprocess.run(words, stdout=subprocess.PIPE, timeout=120,
                          universal_newlines=True, **how)


def write(dice, image, size, count):
    words = ["qemu-io", "-f", "qcow2", "-d", "unmap"]
    for _ in range(count):
        length = min(size, dice.randrange(1, 400) * SECTOR)
        offset = dice.randrange((size - length) // SECTOR + 1) * SECTOR
        verb = dice.choice(["write -q -P %d" % dice.randrange(1, 256),
                            "write -q -z", "discard -q"])
        words += ["-c", "%s %d %d" % (verb, offset, length)]
    run(*words, image)
    # ext4 shows holes in what was allocated and not written, until it is read.
    subprocess.run(["cat", image], check=True, stdout=subprocess.DEVNULL)


def make_disk(dice):
    # Else blocksize shortens it, which is seen by that.
    size = dice.choice([dice.randrange(1024, 20000), dice.randrange(8, 150) * 128]) \
        * SECTOR
    run("qemu-img", "create", "-q", "-f", "qcow2", "disk.qcow2", str(size))
    write(dice, "disk.qcow2", size, dice.randrange(6))
    run("qemu-img", "bitmap", "--add", "-g", str(1 << dice.randrange(9, 18)),
        "disk.qcow2", "monday")
    write(dice, "disk.qcow2", size, dice.randrange(12))
    if dice.randrange(2):
        return size, "disk.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "disk.qcow2", "-F", "qcow2",
        "top.qcow2")
    write(dice, "top.qcow2", size, dice.randrange(6))
    return size, "top.qcow2"


def states(printed, size):
    """The greatest state of each sector in all parts."""
    map_ = bytearray(-(-size // SECTOR))
    for line in printed.splitlines():
        words = line.split()
        if len(words) != 5:
            continue
        begin, end = int(words[2]) // SECTOR, \
            -(-(int(words[2]) + int(words[3])) // SECTOR)
        value = STATES[words[4]]
        if value:
            for i in range(begin, end):
                map_[i] = max(map_[i], value)
    return map_


def shown(image, view, filters, options=(), **how):
    words = ["nbdkit", "-U", "-"] + ["--filter=" + one for one in filters]
    return run(*words, PLUGIN, "file=" + image, "checkpoint=monday", "view=" + view,
               *options, "--run", PRINT_MAP + ' "$uri" monday', **how)


def play(number):
    dice = random.Random(SEED + number)
    for name in ("disk.qcow2", "top.qcow2"):
        if os.path.exists(name):
            os.unlink(name)
    size, image = make_disk(dice)
    truth = states(run(PRINT_MAP, image, "monday").stdout, size)
    coarse = "minblock=%d" % (1 << dice.randrange(9, 17))
    refused = 0
    for view in "overlay", "sparse", "guard":
        wanted = truth if view != "sparse" else truth.replace(b"\1", b"\2")
        found = states(shown(image, view, [FILTER]).stdout, size)
        # Of a zero in one part it may not be known that the others have it.
        assert len(found) == len(wanted) and all(
            one == other or (image == "top.qcow2" and one == 2 and other == 1)
            for one, other in zip(found, wanted)), (number, view)
        # What is a zero in between two clean blocks gets lost there.
        result = shown(image, view, ["blocksize", FILTER], [coarse], check=False,
                       stderr=subprocess.PIPE)
        if result.returncode:
            assert "a filter between" in result.stderr, result.stderr
            refused += 1
            continue
        found = states(result.stdout, size)
        lost = sum(1 for one, other in zip(found, wanted) if other and not one)
        assert not lost, (number, view, coarse, lost)
    return refused


total = sum(play(number) for number in range(int(ROUNDS)))
print("%d of %d were refused behind blocksize" % (total, 3 * int(ROUNDS)))
