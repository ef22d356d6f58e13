#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
#   files-truth.py RAW MAP.json FILES.json [OFFSET]
#
# Does files --json tell the truth of an ext4?  RAW is the disk, in which the file
# system begins at OFFSET; MAP.json is what nbdinfo says of the view.  Where the
# blocks of each file are, debugfs tells.

import json
import re
import subprocess
import sys

raw, map_file, files_file = sys.argv[1:4]
offset = int(sys.argv[4]) if len(sys.argv) > 4 else 0
device = raw if offset == 0 else "%s?offset=%d" % (raw, offset)

with open(map_file) as file:
    dirty = [(e["offset"], e["offset"] + e["length"]) for e in json.load(file)
             if not e["type"] & 1 or e["type"] == 3]
with open(files_file) as file:
    told = json.load(file)


def overlap(start, end):
    return sum(max(0, min(end, e) - max(start, s)) for s, e in dirty)


def debugfs(*commands):
    text = "\n".join(commands) + "\n"
    return subprocess.run(["debugfs", "-f", "-", device], input=text, text=True,
                          errors="surrogateescape", check=True,
                          stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout


size = int(re.search(r"Block size: +(\d+)", debugfs("stats")).group(1))


def extents(inode):
    """(first, last) of blocks that hold the inode's data."""
    text = debugfs("stat <%d>" % inode)
    blocks = text.split("BLOCKS:")[-1].split("EXTENTS:")[-1].split("TOTAL")[0]
    for piece in re.findall(r"\(([^)]*)\):(\d+)(?:-(\d+))?", blocks):
        if piece[0].startswith(("IND", "DIND", "TIND", "ETB")):
            continue
        yield int(piece[1]), int(piece[2] or piece[1])


bad = 0
seen = {line["inode"]: line for line in told["lines"] if "inode" in line}
inodes = set(seen)
# All that there are, of which others must not be dirty.
count = int(re.search(r"Inode count: +(\d+)", debugfs("stats")).group(1))
names = debugfs(*("ncheck " + " ".join(map(str, range(i, i + 100)))
                  for i in range(11, count, 100)))
for line in names.splitlines():
    match = re.match(r"(\d+)\t(.*)", line)
    if not match:
        continue
    inodes.add(int(match.group(1)))
    line = seen.get(int(match.group(1)))
    if line and line["links"] < 2 \
            and line["path"] != match.group(2).replace("//", "/"):
        print("inode", match.group(1), "is", match.group(2), "not", line["path"])
        bad += 1
for inode in sorted(inodes):
    if inode < 11 and inode != 2:
        continue
    truth = sum(overlap(offset + first * size, offset + (last + 1) * size)
                for first, last in extents(inode))
    answer = seen[inode]["bytes"] if inode in seen else 0
    if truth != answer:
        print("inode", inode, "has", truth, "dirty bytes, not", answer)
        bad += 1
total = sum(e - s for s, e in dirty)
if total != told["bytes"] or total != sum(l["bytes"] for l in told["lines"]):
    print("the sum is", told["bytes"], "not", total)
    bad += 1
print(len(inodes), "inodes,", len(seen), "named,", total, "bytes")
sys.exit(1 if bad else 0)
