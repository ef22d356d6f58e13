#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
#   files-truth.py RAW MAP.json FILES.json
#
# Does files --json tell the truth of an ext4 that takes all of a disk, RAW?
# MAP.json is what nbdinfo says of the view.

import json
import sys

from ext_truth import ExtTruth, overlap

raw, map_file, files_file = sys.argv[1:]
with open(map_file) as file:
    dirty = [(e["offset"], e["offset"] + e["length"]) for e in json.load(file)
             if e["type"] != 1]
with open(files_file) as file:
    told = json.load(file)
truth = ExtTruth(raw)
seen = {line["inode"]: line for line in told["lines"] if "inode" in line}
names = truth.names()
bad = 0
for inode, pieces in truth.extents(sorted({2, *seen, *names})).items():
    expected = sum(overlap(dirty, *piece) for piece in pieces)
    line = seen.get(inode, {"bytes": 0})
    if expected != line["bytes"]:
        print("inode", inode, "has", expected, "dirty bytes, not", line["bytes"])
        bad += 1
    if "path" in line and inode != 2 \
            and set(line.get("paths", [line["path"]])) != names.get(inode):
        print("inode", inode, "is", names.get(inode), "not", line["path"])
        bad += 1
total = sum(e - s for s, e in dirty)
if not total == told["bytes"] == sum(line["bytes"] for line in told["lines"]):
    print("the sum is", told["bytes"], "not", total)
    bad += 1
print(len(names), "files,", len(seen), "named,", total, "bytes")
sys.exit(1 if bad else 0)
