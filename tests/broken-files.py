#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
#   broken-files.py TOOL COUNT [SEED]
#
# Disks of which random bytes are wrong: files tells of as many bytes as are dirty,
# ends well and soon, and says nothing but what it means to.

import json
import os
import random
import resource
import subprocess
import sys
import time

import disk_layouts

MIB = 1024 * 1024


def run(*words, **more):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, **more)


def images(rng):
    """[(kind, sparse disk)]"""
    os.makedirs("tree/a/b")
    for n in range(120):
        with open("tree/a/b/file-%d" % n, "wb") as file:
            file.write(rng.randbytes(rng.randrange(20000)))
    for kind, options in (("ext4", "-b 1024"), ("ext2", "-b 4096"),
                          ("ext4", "-b 4096 -O inline_data -I 256")):
        run("truncate", "-s", "16M", "fs.raw")
        run("mke2fs", "-F", "-t", kind, *options.split(), "-d", "tree", "fs.raw")
        with open("fs.raw", "rb") as file:
            data = file.read()
        for layout in rng.sample(sorted(disk_layouts.ALL), 2):
            if layout != "striped":
                yield kind, disk_layouts.ALL[layout](rng, data)[0][0]
        os.unlink("fs.raw")
    with open("proto", "w") as file:
        file.write("/dev/null\n0 0\nd--755 0 0\n")
        for n in range(100):
            file.write(" file-%d ---644 0 0 tree/a/b/file-%d\n" % (n, n))
        file.write("$\n")
    for options in ("crc=1,rmapbt=1", "crc=0"):
        run("truncate", "-s", "320M", "fs.raw")
        try:
            run("mkfs.xfs", "-f", "-m", options, "-p", "proto", "fs.raw")
        except (OSError, subprocess.CalledProcessError):
            continue
        with open("fs.raw", "rb") as file:
            yield "xfs", bytearray(file.read())
        os.unlink("fs.raw")


def interesting(disk):
    """Offsets of sectors that are not empty."""
    zero = bytes(512)
    return [n for n in range(0, len(disk), 512) if disk[n:n + 512] != zero]


def damage(rng, disk, places):
    """{sector: its bytes}"""
    broken = {}
    for _ in range(rng.choice((1, 3, 10, 100))):
        sector = rng.choice(places)
        # Most of what matters is at the beginning.
        if rng.random() < 0.5:
            sector = places[min(int(rng.expovariate(0.05)), len(places) - 1)]
        data = broken.setdefault(sector, disk[sector:sector + 512])
        for _ in range(rng.choice((1, 1, 4, 40))):
            at = rng.randrange(512)
            data[at] = rng.choice((0, 255, data[at] ^ 1 << rng.randrange(8),
                                   rng.randrange(256)))
    return broken


def trial(tool, rng, kind, disk, places):
    """On a copy of base.qcow2, whose bitmap is b."""
    broken = damage(rng, disk, places)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F",
        "qcow2", "top.qcow2")
    run("qemu-img", "bitmap", "--add", "-g", "65536", "top.qcow2", "b")
    words = []
    for sector, data in broken.items():
        with open("sector%d" % sector, "wb") as file:
            file.write(data)
        words += ["-c", "write -q -s sector%d %d 512" % (sector, sector)]
    # Of the rest, much is dirty, too.
    for sector in rng.sample(places, min(len(places), 60)):
        if sector not in broken:
            with open("sector%d" % sector, "wb") as file:
                file.write(disk[sector:sector + 512])
            broken[sector] = None
            words += ["-c", "write -q -s sector%d %d 512" % (sector, sector)]
    run("qemu-io", "-f", "qcow2", "top.qcow2", *words)
    for sector in broken:
        os.unlink("sector%d" % sector)
    began = time.monotonic()
    done = subprocess.run([tool, "files", "b", "--file=top.qcow2", "--json"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, (done.returncode, done.stderr)
    told = json.loads(done.stdout)
    info = json.loads(subprocess.run(
        [tool, "list", "--size", "--file=top.qcow2", "--json"],
        stdout=subprocess.PIPE, check=True).stdout)
    # The last block of the record may be longer than the disk.
    size = info["checkpoints"][0]["size"]
    assert told["bytes"] in (size, size - -len(disk) % 65536), (info, told)
    assert told["bytes"] == sum(line["bytes"] for line in told["lines"]), told
    assert not done.stderr, done.stderr
    os.unlink("top.qcow2")
    return time.monotonic() - began, told


def main():
    tool, count = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(10 ** 6)
    print("SEED=%d" % seed)
    rng = random.Random(seed)
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    # In a child's memory, and in its time.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    unknown = 0
    for kind, disk in images(rng):
        with open("base.raw", "wb") as file:
            file.truncate(len(disk))
            for n in range(0, len(disk), 65536):
                if any(disk[n:n + 65536]):
                    file.seek(n)
                    file.write(disk[n:n + 65536])
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "base.raw",
            "base.qcow2")
        places = interesting(disk)
        slowest = 0
        for _ in range(count):
            seconds, told = trial(tool, rng, kind, disk, places)
            slowest = max(slowest, seconds)
            unknown += any(l["kind"] == "unknown" for l in told["lines"])
        print("%s: slowest took %.1f s" % (kind, slowest), flush=True)
    print(unknown, "told of something that is not known")


main()
