# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The main promise as a property: for a disk with a random history, a backup
# made through a view by an ordinary client is identical to the disk, and
# holds exactly the blocks that QEMU's bitmap has.
#
#   property-views.py PLUGIN SEED ROUNDS
#
# Round n of seed s is round 0 of seed s + n: a failure names the seed that
# repeats it alone.

import json
import os
import random
import sys
import tempfile

import images
from servers import KIB, Server, random_writes, run

PLUGIN, SEED, ROUNDS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def join(ranges):
    joined = []
    for start, end in ranges:
        if joined and joined[-1][1] == start:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    return joined


class History:
    """A disk of any kind, with random writes and checkpoints, and copies."""

    def __init__(self, rng):
        self.rng = rng
        self.granularity = rng.choice([4, 16, 64, 64, 64, 128]) * KIB
        cluster = rng.choice([4, 64, 64]) * KIB
        self.size = rng.randrange(1, 12 * KIB * KIB // 512) * 512
        self.disk, self.kinds = images.make_disk(
            rng, "disk.qcow2", self.size, cluster,
            lambda image, size: image.write(
                *random_writes(rng, size, rng.randrange(12))))
        self.change(rng.randrange(12))
        self.checkpoints = []
        for i in range(rng.randrange(2, 5)):
            name = "c%d" % i
            self.disk.copy(name + ".qcow2")
            self.disk.add_bitmap(name, self.granularity)
            self.checkpoints.append(name)
            self.change(rng.randrange(16))

    def change(self, count):
        self.disk.write(*random_writes(self.rng, self.size, count))


def true_dirty(truth, name):
    """What QEMU itself says of a bitmap."""
    context = "qemu:dirty-bitmap:" + name
    return join((start, end) for start, end, flags
                in truth.status("", context)[context] if flags & 1)


def allocated(image):
    extents = json.loads(run("qemu-img", "map", "-f", "qcow2",
                             "--output=json", image))
    return join((e["start"], e["start"] + e["length"]) for e in extents
                if e["depth"] == 0 and e["present"])


def bridged(ranges, gap):
    wide = []
    for start, end in ranges:
        if wide and start - wide[-1][1] <= gap:
            wide[-1][1] = end
        else:
            wide.append([start, end])
    return wide


def covers(outer, inner):
    return all(any(o[0] <= i[0] and i[1] <= o[1] for o in outer)
               for i in inner)


def check(history, since, backup, dirty, coalesce):
    run("qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", "now.qcow2",
        backup)
    got = allocated(backup)
    if coalesce == 0:
        assert got == dirty, "since %s: %s allocated, %s dirty" % (
            since, got, dirty)
    assert covers(got, dirty), "since %s: %s lacks some of %s" % (
        since, got, dirty)
    assert covers(bridged(dirty, coalesce), got), \
        "since %s: %s allocated, %s dirty, coalesce=%d" % (
            since, got, dirty, coalesce)


def backup_by_convert(history, server, since, dirty, coalesce):
    run("qemu-img", "convert", "-f", "raw", "-B", since + ".qcow2", "-F",
        "qcow2", "-O", "qcow2", "-o",
        "cluster_size=%d" % history.granularity,
        server.uri("vda@" + since), "backup.qcow2")
    check(history, since, "backup.qcow2", dirty, coalesce)


def backup_by_nbdcopy(history, server, since, dirty, coalesce):
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o",
        "cluster_size=%d" % history.granularity, "-b", since + ".qcow2",
        "-F", "qcow2", "copy.qcow2", str(history.size))
    with Server("qemu-nbd", "-f", "qcow2", "-e", "8", "-t", "-k", "SOCKET",
                "copy.qcow2") as target:
        run("nbdcopy", "--destination-is-zero", "-S", "0",
            "--request-size=%d" % history.granularity,
            server.uri("vda@" + since), target.uri())
    check(history, since, "copy.qcow2", dirty, coalesce)


def play(seed):
    rng = random.Random(seed)
    history = History(rng)
    history.disk.copy("now.qcow2")
    before = history.disk.contents()
    # coalesce makes more dirty than the bitmap is, never less.
    coalesce = rng.choice([0, 0, 0, 4096, 128 * KIB, 1024 * KIB])
    view, backup = rng.choice([("overlay", backup_by_convert),
                               ("overlay", backup_by_convert),
                               ("guard", backup_by_convert),
                               ("sparse", backup_by_nbdcopy)])
    bitmaps = [a for c in history.checkpoints for a in ("-B", c)]
    with Server("qemu-nbd", "-r", "-t", "-e", "8", "-k", "SOCKET", *bitmaps,
                *history.disk.words()) as truth, \
         Server("nbdkit", "-f", "-U", "SOCKET", PLUGIN, "disk.qcow2",
                "view=" + view, "coalesce=%d" % coalesce,
                *images.secret_words(rng)) as server:
        whole = server.uri("vda@")
        run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", whole,
            "now.qcow2")
        for since in history.checkpoints:
            backup(history, server, since, true_dirty(truth, since),
                   coalesce)
    assert history.disk.contents() == before, "the disk was changed"
    return len(history.checkpoints), history.kinds


def main():
    backups, kinds = 0, {}
    folder = tempfile.mkdtemp(dir=".")
    os.chdir(folder)
    for seed in range(SEED, SEED + ROUNDS):
        try:
            count, of = play(seed)
            backups += count
            for kind in of:
                kinds[kind] = kinds.get(kind, 0) + 1
        except BaseException:
            print("FAILED: repeat with: SEED=%d ROUNDS=1" % seed, flush=True)
            raise
        finally:
            images.release_devices()
    print("seed %d: %d rounds, %d backups; layers: %s" % (
        SEED, ROUNDS, backups, ", ".join(
            "%d %s" % (n, kind) for kind, n in sorted(kinds.items()))))


main()
