# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# What debugfs and dumpe2fs say of an ext2, ext3 or ext4 in a file.

import re
import subprocess

EXTENT = re.compile(r"\(([^)]*)\):(\d+)(?:-(\d+))?")


class ExtTruth:
    def __init__(self, raw):
        self.raw = raw
        stats = self.debugfs("stats")
        self.size = int(re.search(r"Block size: +(\d+)", stats).group(1))
        self.count = int(re.search(r"Inode count: +(\d+)", stats).group(1))
        cluster = re.search(r"Cluster size: +(\d+)", stats)
        self.cluster = int(cluster.group(1)) // self.size if cluster else 1

    def debugfs(self, *commands):
        return subprocess.run(
            ["debugfs", "-f", "-", self.raw], input="\n".join(commands) + "\n",
            text=True, errors="surrogateescape", check=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout

    def names(self):
        """{inode: {path}}, but of the root."""
        found = {}
        for line in self.debugfs(*("ncheck " + " ".join(
                map(str, range(i, min(i + 100, self.count + 1))))
                for i in range(11, self.count + 1, 100))).splitlines():
            match = re.match(r"(\d+)\t(.*)", line)
            if match:
                found.setdefault(int(match.group(1)), set()).add(
                    match.group(2).replace("//", "/"))
        return found

    def extents(self, inodes):
        """{inode: [(start, end)]} in bytes, of what holds data."""
        inodes = list(inodes)
        texts = re.split(r"^debugfs: stat .*$", self.debugfs(
            *("stat <%d>" % i for i in inodes)), flags=re.M)[1:]
        found = {}
        for inode, text in zip(inodes, texts):
            found[inode] = []
            if "BLOCKS:" not in text and "EXTENTS:" not in text:
                continue
            text = re.split("BLOCKS:|EXTENTS:", text)[-1].split("TOTAL")[0]
            for what, first, last in EXTENT.findall(text):
                if what.startswith(("IND", "DIND", "TIND", "ETB")):
                    continue
                first, last = int(first), int(last or first)
                first -= first % self.cluster
                last += self.cluster - 1 - last % self.cluster
                found[inode].append((first * self.size,
                                     (last + 1) * self.size))
        return found

    def free(self):
        """[(start, end)] in bytes."""
        text = subprocess.run(["dumpe2fs", self.raw], text=True, check=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).stdout
        for line in re.findall(r"^ +Free blocks: (.*)$", text, flags=re.M):
            for piece in filter(None, line.strip().split(", ")):
                first, _, last = piece.partition("-")
                # Of a cluster, the first block is named.
                last = int(last or first) // self.cluster * self.cluster
                yield (int(first) * self.size,
                       (last + self.cluster) * self.size)


def overlap(pieces, start, end):
    return sum(max(0, min(end, e) - max(start, s)) for s, e in pieces)
