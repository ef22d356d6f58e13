#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# estimate-property.py TOOL PLUGIN FILTER ROUNDS: random disks, some of two layers.
# What estimate counts is what the plugin's map shows, to the byte; and where it has
# read all clusters, its guesses are what qemu-img makes of that view, but for how
# QEMU packs compressed clusters: two clusters of 64 KiB.

import json
import os
import random
import subprocess
import sys

TOOL, PLUGIN, FILTER, ROUNDS = sys.argv[1:]
CLUSTER = 65536
SEED = int(os.environ.get("SEED") or random.randrange(1 << 32))
print("SEED=%d" % SEED, flush=True)


def run(*words):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE,
                          timeout=120).stdout


def view(files, command):
    """Run a shell command against the plugin's view since monday."""
    words = ["nbdkit", "-U", "-", "--filter=" + FILTER, PLUGIN, "checkpoint=monday",
             files, "--run", command]
    return run(*words)


def random_commands(dice, size, count):
    """Writes, zeroes and discards, in sectors."""
    for _ in range(count):
        length = min(size, dice.choice([512, 4096, 65536, 200000 // 512 * 512,
                                        dice.randrange(1, 300) * 512]))
        offset = dice.randrange((size - length) // 512 + 1) * 512
        if dice.randrange(3):
            offset -= offset % min(CLUSTER, 1 << dice.randrange(9, 17))
        kind = dice.choice(["-P %d" % dice.randrange(1, 256), "-s random",
                            "-s random", "-z", "-P 0", "discard"])
        verb, flags = ("discard", "") if kind == "discard" else ("write", kind)
        yield "%s -q %s %d %d" % (verb, flags, offset, length)


def write(image, commands):
    words = ["qemu-io", "-f", "qcow2", "-d", "unmap"]
    for command in commands:
        words += ["-c", command]
    run(*words, image)
    # ext4 shows holes in what was allocated and not written, until it is read.
    run("cat", image)


def make_disk(dice):
    size = dice.randrange(2048, 60000) * 512
    with open("random", "wb") as file:
        file.write(bytes(dice.getrandbits(8) for _ in range(4096)) * 80)
    run("qemu-img", "create", "-q", "-f", "qcow2", "disk.qcow2", str(size))
    write("disk.qcow2", random_commands(dice, size, dice.randrange(12)))
    run("qemu-img", "bitmap", "--add", "-g", str(1 << dice.randrange(9, 18)),
        "disk.qcow2", "monday")
    run("qemu-img", "convert", "-O", "qcow2", "disk.qcow2", "before.qcow2")
    write("disk.qcow2", random_commands(dice, size, dice.randrange(10)))
    if dice.randrange(3):
        return size, "disk.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "disk.qcow2", "-F", "qcow2",
        "top.qcow2")
    write("top.qcow2", random_commands(dice, size, dice.randrange(8)))
    return size, "top.qcow2"


def map_of(words, name):
    """[(begin, end, type)] of an export's map."""
    told = run("nbdkit", "-U", "-", *words, "--run", 'nbdinfo --map --json '
               '"nbd+unix:///%s?socket=$unixsocket"' % name)
    return [(extent["offset"], extent["offset"] + extent["length"], extent["type"])
            for extent in json.loads(told)]


def count(files):
    """data, zeroes, runs: dirty is what the filter unites, and zeroes are the
    disk's own."""
    words = [PLUGIN, "checkpoint=monday", files]
    dirty = [extent for extent in map_of(["--filter=" + FILTER, *words], "vda")
             if extent[2] != 1]
    zero = [extent for extent in map_of(words, "vda@") if extent[2] & 2]
    runs = sum(1 for i, extent in enumerate(dirty)
               if i == 0 or dirty[i - 1][1] < extent[0])
    zeroes = sum(max(0, min(one[1], other[1]) - max(one[0], other[0]))
                 for one in dirty for other in zero)
    return sum(end - begin for begin, end, _ in dirty) - zeroes, zeroes, runs


def partly_zero(files, image):
    """Clusters that are zeroes in full, and that no extent has in full: as they are
    dirty in part, or data that is zeroes has zeroes beside it.  QEMU zeroes them piece
    by piece, which it writes out if the backup below has data there; estimate cannot
    know of that."""
    run("qemu-img", "convert", "-O", "raw", image, "disk.raw")
    with open("disk.raw", "rb") as file:
        disk = file.read()
    longest = {}                # in the cluster, of those that are dirty
    for begin, end, kind in map_of(["--filter=" + FILTER, PLUGIN, "checkpoint=monday",
                                    files], "vda"):
        for cluster in range(begin // CLUSTER, -(-end // CLUSTER)) if kind != 1 else ():
            at = cluster * CLUSTER
            longest[cluster] = max(longest.get(cluster, 0),
                                   min(end, at + CLUSTER) - max(begin, at))
    return sum(1 for cluster, length in longest.items() if length < CLUSTER
               and not any(disk[cluster * CLUSTER:(cluster + 1) * CLUSTER]))


def make_backup(files, flags):
    view(files, "qemu-img convert %s -f raw -B before.qcow2 -F qcow2 -O qcow2 "
         "\"$uri\" backup.qcow2" % flags)
    # Where it ends in a table, that is shorter than a cluster.
    return -(-os.path.getsize("backup.qcow2") // CLUSTER) * CLUSTER


def play(number):
    dice = random.Random(SEED + number)
    for name in ("disk.qcow2", "top.qcow2", "before.qcow2", "backup.qcow2"):
        if os.path.exists(name):
            os.unlink(name)
    size, image = make_disk(dice)
    files = "file=" + image
    words = [TOOL, "estimate", "--json", "--seed=%d" % number]
    told = json.loads(run(*words, "--file=" + image))
    shown = json.loads(view(files, " ".join(words) + ' --uri "$uri"'))
    assert told["seed"] == number
    disk, = told["checkpoints"][0]["disks"]
    by_uri, = shown["checkpoints"][0]["disks"]
    if image == "disk.qcow2":
        assert told["checkpoints"] == shown["checkpoints"], (told, shown)
    # What is united may have fewer zeroes.
    for same in "dirty", "runs", "backup", "compressed", "sampled":
        assert disk[same] == by_uri[same], (same, told, shown)
    wanted = count(files)
    found = disk["data"], disk["zeroes"], disk["runs"]
    assert found == wanted and disk["dirty"] == sum(wanted[:2]), (found, wanted)
    assert disk["exact"]
    assert disk["sampled"] == min(64, disk["clusters"]), disk
    if disk["clusters"] > 64:
        return False
    for name, flags in ("backup", ""), ("compressed", "-c"):
        real, about = make_backup(files, flags), disk[name]["about"]
        slack = 2 * CLUSTER if flags else 0
        more = slack + partly_zero(files, image) * CLUSTER
        assert -slack <= real - about <= more, (name, real, about, size)
    return True


checked = sum(play(SEED_ROUND) for SEED_ROUND in range(int(ROUNDS)))
print("%d of %s were read whole" % (checked, ROUNDS))
assert checked > 0
