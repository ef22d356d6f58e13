#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
#   xfs-truth.py TOOL DISK.raw NAMES [SEED]
#
# Random blocks of an XFS are dirty: files tells of each file as many bytes as xfs_db's
# word on its extents makes, and its name.  NAMES: "INODE PATH", one a line.

import json
import os
import random
import re
import subprocess
import sys

tool, raw, names_file = sys.argv[1:4]
seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(10 ** 6)
print("SEED=%d" % seed)
rng = random.Random(seed)


def run(*words):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.DEVNULL).stdout


def xfs_db(*commands):
    return run("xfs_db", "-r", "-f",
               *(word for c in commands for word in ("-c", c)), raw)


def make_dirty(granule):
    """[(start, end)]"""
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, "xfs.qcow2")
    run("qemu-img", "bitmap", "--add", "-g", str(granule), "xfs.qcow2", "b")
    words, granules = [], set()
    with open(raw, "rb") as file:
        used = [n for n in range(0, os.path.getsize(raw), 65536)
                if file.seek(n) == n and any(file.read(65536))]
        for n in rng.sample(used, min(len(used), 200)):
            n += rng.randrange(16) * 4096
            file.seek(n)
            with open("piece%d" % n, "wb") as piece:
                piece.write(file.read(4096))
            granules.add(n // granule)
            words += ["-c", "write -q -s piece%d %d 4096" % (n, n)]
    run("qemu-io", "-f", "qcow2", "xfs.qcow2", *words)
    return [(n * granule, (n + 1) * granule) for n in sorted(granules)]


def extents(inodes):
    """{inode: [(start, end)]}"""
    fields = dict(re.findall(r"(\w+) = (\d+)", xfs_db("sb 0", "p")))
    group, block = int(fields["agblocks"]), int(fields["blocksize"])
    found = {}
    for first in range(0, len(inodes), 500):
        commands = []
        for inode in inodes[first:first + 500]:
            commands += ["inode %d" % inode, "echo INODE %d" % inode, "bmap"]
        for line in xfs_db(*commands).splitlines():
            match = re.match(r"INODE (\d+)", line)
            if match:
                pieces = found.setdefault(int(match.group(1)), [])
            match = re.match(r"data offset \d+ startblock \d+ "
                             r"\((\d+)/(\d+)\) count (\d+)", line)
            if match:
                ag, start, count = map(int, match.groups())
                start += ag * group
                pieces.append((start * block, (start + count) * block))
    return found


names = {}
with open(names_file, errors="surrogateescape") as file:
    for line in file:
        number, path = line.rstrip("\n").split(" ", 1)
        names.setdefault(int(number), set()).add(path)
dirty = make_dirty(rng.choice((4096, 65536)))
told = json.loads(run(tool, "files", "b", "--file=xfs.qcow2", "--json"))
seen = {line["inode"]: line for line in told["lines"] if "inode" in line}
bad = 0
for inode, pieces in extents(sorted(names)).items():
    expected = sum(max(0, min(end, e) - max(start, s))
                   for s, e in dirty for start, end in pieces)
    line = seen.get(inode, {"bytes": 0, "shared": 0})
    if line["bytes"] + line["shared"] != expected:
        print("inode", inode, "has", expected, "dirty bytes, not", line)
        bad += 1
    if "path" in line and set(line.get("paths", [line["path"]])) != names[inode]:
        print("inode", inode, "is", names[inode], "not", line)
        bad += 1
total = sum(end - start for start, end in dirty)
if not total == told["bytes"] == sum(line["bytes"] for line in told["lines"]):
    print("the sum is", told["bytes"], "not", total)
    bad += 1
if told["notes"] or not set(seen) <= set(names) \
        or any(line["kind"] == "unknown" for line in told["lines"]):
    print(told["notes"], set(seen) - set(names), "or unknown")
    bad += 1
print(len(names), "files,", len(seen), "named,", total, "bytes")
sys.exit(1 if bad else 0)
