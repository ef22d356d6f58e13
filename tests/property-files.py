#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
#   property-files.py TOOL COUNT [SEED]
#
# Random files in an ext2, ext3 or ext4, in random partitions and volumes, of which
# random blocks are dirty: files tells of each file as many bytes as debugfs' word on
# its blocks makes, of each its name, and of free space; and all in all of as many
# as are dirty.

import json
import os
import random
import shutil
import subprocess
import sys

import disk_layouts
from ext_truth import ExtTruth, overlap

MIB = 1024 * 1024
KINDS = (
    ("ext2", "-b 1024"), ("ext2", "-b 4096 -O ^filetype"), ("ext3", "-b 1024"),
    ("ext4", "-b 4096 -O orphan_file"), ("ext4", "-b 1024"), ("ext4", "-b 2048 -O ^64bit"),
    ("ext4", "-b 4096 -O inline_data -I 256"),
    ("ext4", "-b 4096 -O bigalloc,^resize_inode -C 16384"),
    ("ext4", "-b 1024 -O ^extents,^64bit,quota"),
    ("ext4", "-b 4096 -O meta_bg,^resize_inode"),
)


def run(*words, **more):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, **more)


def make_tree(rng, top):
    folders = [top]
    os.mkdir(top)
    for n in range(rng.randrange(1, 8)):
        folders.append(os.path.join(rng.choice(folders), "folder %d" % n))
        os.mkdir(folders[-1])
    for n in range(rng.randrange(5, 40)):
        path = os.path.join(rng.choice(folders), rng.choice(
            ("f%d", "a rather long name %d", "ü%d", "%d'\"")) % n)
        with open(path, "wb") as file:
            for _ in range(rng.choice((0, 1, 1, 1, 3))):
                file.seek(rng.choice((0, 0, 70000)), os.SEEK_CUR)
                file.write(rng.randbytes(rng.choice((50, 5000, 200000))))
        if rng.random() < 0.2:
            os.link(path, os.path.join(rng.choice(folders), "link %d" % n))
        if rng.random() < 0.2:
            os.symlink("x" * rng.choice((10, 300)),
                       os.path.join(rng.choice(folders), "sym %d" % n))


def read(name):
    with open(name, "rb") as file:
        return file.read()


def write(name, data):
    with open(name, "wb") as file:
        file.write(data)


def make_journal(rng):
    """Change fs.raw, but leave some of that to its journal, so that it must be
    replayed; truth.raw is the same after that."""
    commands = ["mkdir /new", "write tree/0 /new/file", "write tree/0 /other",
                "mkdir /new/er", "rm /0"]
    write("commands", "".join(c + "\n" for c in commands[:rng.randrange(2, 6)])
          .encode())
    shutil.copy("fs.raw", "after.raw")
    run("debugfs", "-w", "-f", "commands", "after.raw")
    size = ExtTruth("fs.raw").size
    old, new = ([image[n:n + size] for n in range(0, len(image), size)]
                for image in (read("fs.raw"), read("after.raw")))
    changed = [n for n, (a, b) in enumerate(zip(old, new)) if a != b]
    left = sorted(rng.sample(changed, min(len(changed), 100)))
    # One is in its place; an older one of it is in the journal, revoked.
    revoked = left.pop(rng.randrange(1, len(left)))
    write("blocks", b"".join(new[n] for n in left))
    write("garbage", rng.choice((rng.randbytes(size),
                                 b"\xc0\x3b\x39\x98".ljust(size, b"x"))))
    write("commands", b"jo\njw -b %d garbage\njw -r %d\njw -b %s blocks\njc\n" % (
        revoked, revoked, ",".join(map(str, left)).encode()))
    run("debugfs", "-w", "-f", "commands", "fs.raw")
    with open("fs.raw", "r+b") as file:
        # But the superblock, which says that there is a journal to be replayed.
        for n in set(changed) - set(left) - {1024 // size}:
            file.seek(n * size)
            file.write(new[n])
    shutil.copy("fs.raw", "truth.raw")
    subprocess.run(["e2fsck", "-y", "-E", "journal_only", "truth.raw"],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_dirty(rng, number, disk):
    """The disk's image, with the bitmap b; what is dirty of it, in order."""
    name = "vd%s" % "ab"[number]
    size = len(disk)
    granule = rng.choice((512, 4096, 65536, 65536, 131072))
    write(name + ".raw", disk)
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", name + ".raw",
        name + ".qcow2")
    run("qemu-img", "bitmap", "--add", "-g", str(granule), name + ".qcow2", "b")
    words, granules = [], set()
    pieces = [(rng.randrange(size // 512) * 512,
               rng.choice((512, 4096, 70000, 300000)) // 512 * 512)
              for _ in range(rng.randrange(60))]
    # Tables and labels are at the ends.
    pieces += rng.sample([(0, 4096), (size - 4096, 4096), (MIB, 65536)], 2)
    for n, (start, length) in enumerate(pieces):
        length = min(length, size - start)
        write("piece%d" % n, disk[start:start + length])
        words += ["-c", "write -q -s piece%d %d %d" % (n, start, length)]
        granules.update(range(start // granule,
                              (start + length - 1) // granule + 1))
    run("qemu-io", "-f", "qcow2", name + ".qcow2", *words)
    dirty = []
    for n in sorted(granules):
        end = min((n + 1) * granule, size)
        if dirty and dirty[-1][1] == n * granule:
            dirty[-1] = dirty[-1][0], end
        else:
            dirty.append((n * granule, end))
    return dirty


def in_volume(places, dirty):
    """What is dirty there."""
    for offset, length, disk, at in places:
        for start, end in dirty[disk]:
            start, end = max(start, at), min(end, at + length)
            if start < end:
                yield start - at + offset, end - at + offset


def compare(truth, told, volume, dirty, total):
    lines = [line for line in told["lines"] if line["volume"] == volume]
    seen = {line["inode"]: line for line in lines if "inode" in line}
    names = truth.names()
    for inode, pieces in truth.extents(sorted({2, *names, *seen})).items():
        expected = sum(overlap(dirty, *piece) for piece in pieces)
        line = seen.get(inode, {"bytes": 0})
        assert line["bytes"] == expected, (inode, expected, line)
        if inode != 2 and "path" in line:
            paths = set(line.get("paths", [line["path"]]))
            assert paths == names[inode], (paths, names[inode])
    free = sum(overlap(dirty, *piece) for piece in truth.free())
    answer = sum(line["bytes"] for line in lines
                 if line.get("what") == "free space")
    assert free == answer, (free, answer)
    assert not [l for l in lines if l["kind"] == "unknown"], lines
    assert sum(line["bytes"] for line in lines) \
        == sum(end - start for start, end in dirty)
    assert told["bytes"] == total == sum(l["bytes"] for l in told["lines"])


def trial(tool, seed):
    rng = random.Random(seed)
    kind, options = KINDS[seed % len(KINDS)]
    layout = list(disk_layouts.ALL)[seed // 2 % len(disk_layouts.ALL)]
    make_tree(rng, "tree")
    run("truncate", "-s", str(16 * MIB), "fs.raw")
    write("tree/0", rng.randbytes(30000))
    run("mke2fs", "-F", "-t", kind, *options.split(), "-d", "tree", "fs.raw")
    journal = kind != "ext2" and rng.random() < 0.5
    if journal:
        make_journal(rng)
    disks, places, volume = disk_layouts.ALL[layout](rng, read("fs.raw"))
    dirty = [make_dirty(rng, n, disk) for n, disk in enumerate(disks)]
    answer = subprocess.run(
        [tool, "files", "b", "--json"] + ["--file=vd%s:vd%s.qcow2" % (c, c)
                                          for c in "ab"[:len(disks)]],
        stdout=subprocess.PIPE, check=True).stdout
    told = json.loads(answer)
    assert told["notes"] == [], told["notes"]
    compare(ExtTruth("truth.raw" if journal else "fs.raw"), told, volume,
            sorted(in_volume(places, dirty)),
            sum(end - start for disk in dirty for start, end in disk))
    return kind, options, layout, "journal" if journal else ""


def main():
    tool, count = sys.argv[1], int(sys.argv[2])
    first = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(10 ** 6)
    print("SEED=%d" % first)
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    for seed in range(first, first + count):
        folder = "trial-%d" % seed
        os.mkdir(folder)
        os.chdir(folder)
        print(seed, *trial(tool, seed), flush=True)
        os.chdir("..")
        shutil.rmtree(folder)


main()
