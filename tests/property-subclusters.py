# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Random chains of images with subclusters and without: their views have the bytes
# that QEMU reads, read in any pieces, its zeroes, and for dirty what its bitmap
# says and what is allocated above that.
#
#   property-subclusters.py PLUGIN FILTER SEED ROUNDS
#
# Round n of seed s is round 0 of seed s + n.

import json
import os
import random
import sys
import tempfile

import nbd

from servers import KIB, Server, run

PLUGIN, FILTER, SEED, ROUNDS = sys.argv[1:3] + [int(a) for a in sys.argv[3:5]]
CLUSTERS = [16 * KIB, 16 * KIB, 32 * KIB, 64 * KIB, 128 * KIB, 2048 * KIB]
ZERO = 2                        # of base:allocation


class Chain:
    def __init__(self, rng):
        self.rng = rng
        self.size = rng.randrange(1, 6 * KIB * KIB // 512) * 512
        self.names, self.kinds = [], []
        for _ in range(rng.randrange(1, 4)):
            self.add_layer()

    def add_layer(self):
        rng, name = self.rng, "%d.qcow2" % len(self.names)
        extended = rng.random() < 0.75
        cluster = rng.choice(CLUSTERS)
        options = ["cluster_size=%d" % cluster] + ["extended_l2=on"] * extended
        below = ["-b", self.names[-1], "-F", "qcow2"] if self.names else []
        # Only with subclusters, what is allocated can show what is below.
        allocated = (extended or not below) and rng.random() < 0.2
        if allocated:
            options += ["preallocation=metadata"]
        elif rng.random() < 0.25:
            data = os.path.abspath(name + ".data")
            options += ["data_file=" + data, "data_file_raw=off"]
        if self.names and rng.random() < 0.3:
            self.size += rng.choice([512, cluster, 300 * KIB])
        run("qemu-img", "create", "-q", "-f", "qcow2", *below, "-o",
            ",".join(options), name, str(self.size))
        self.names.append(name)
        self.kinds.append("extended" if extended else "plain")
        own = not options[-1].startswith("data_file")
        if own and not allocated and rng.random() < 0.4:
            self.write(self.compressed(cluster))
        self.write(self.anything(cluster))
        if own and rng.random() < 0.2:
            run("qemu-img", "snapshot", "-q", "-c", "s", name)
            self.write(self.anything(cluster))
        if len(self.names) == 1:
            # What comes later is dirty since then.
            run("qemu-img", "bitmap", "--add", "-g",
                str(rng.choice([512, 4096, 65536])), name, "monday")
            self.write(self.anything(cluster))

    def write(self, commands):
        if commands:
            run("qemu-io", "-f", "qcow2", "-d", "unmap", *(
                a for c in commands for a in ("-c", c)), self.names[-1])

    def compressed(self, cluster):
        whole = self.size // cluster
        return ["write -q -c -P 9 %d %d" % (n * cluster, cluster)
                for n in self.rng.sample(range(whole), min(whole, 2))]

    def anything(self, cluster):
        """Within clusters, mostly."""
        commands = []
        for _ in range(self.rng.randrange(24)):
            start = self.rng.randrange(0, self.size, 512)
            if self.rng.random() < 0.5:
                start -= start % (cluster // 32)
            length = self.rng.choice([512, cluster // 32, cluster // 8, cluster,
                                      3 * cluster])
            commands.append("%s %d %d" % (self.rng.choice(
                ["write -q -P %d" % self.rng.randrange(1, 256)] * 4
                + ["write -q -P 0", "write -q -z", "write -q -z -u",
                   "discard -q"]), start, min(length, self.size - start)))
        return commands

    def contents(self):
        found = []
        for name in self.names:
            for file in [name, name + ".data"]:
                if os.path.exists(file):
                    with open(file, "rb") as f:
                        found.append(f.read())
        return found


def join(ranges):
    joined = []
    for start, end in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(end, joined[-1][1])
        else:
            joined.append([start, end])
    return joined


def flagged(status, wanted):
    return join((start, end) for start, end, flags in status if flags & wanted)


def base_dirty(chain):
    """What the bitmap says, and all that the lowest image does not reach."""
    context = "qemu:dirty-bitmap:monday"
    with Server("qemu-nbd", "-r", "-t", "-k", "SOCKET", "-B", "monday", "-f",
                "qcow2", chain.names[0]) as truth:
        status = truth.status("", context)[context]
    dirty = [(start, end) for start, end, flags in status if flags & 1]
    return dirty + [(status[-1][1], chain.size)] * (status[-1][1] < chain.size)


def allocated(chain):
    """Where any image above the lowest one says something."""
    lowest = len(chain.names) - 1
    return [(e["start"], e["start"] + e["length"]) for e in json.loads(run(
        "qemu-img", "map", "-f", "qcow2", "--output=json", chain.names[-1]))
            if e["present"] and e["depth"] < lowest]


def read_in_pieces(rng, uri, size):
    handle = nbd.NBD()
    handle.connect_uri(uri)
    assert handle.get_size() == size
    pieces, at = [], 0
    while at < size:
        count = min(size - at, rng.choice(
            [1, 511, 512, 4096, 65536, 1 << 20, 3 << 20]))
        pieces.append(bytes(handle.pread(count, at)))
        at += count
    handle.shutdown()
    return b"".join(pieces)


def play(seed):
    rng = random.Random(seed)
    chain = Chain(rng)
    top, before = chain.names[-1], chain.contents()
    run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", top, "truth")
    with open("truth", "rb") as f:
        truth = f.read()
    wanted = join(base_dirty(chain) + allocated(chain))
    more = rng.choice([[], [], ["cache=none"]])
    with Server("qemu-nbd", "-r", "-t", "-k", "SOCKET", "-f", "qcow2",
                top) as qemu, \
         Server("nbdkit", "-f", "-U", "SOCKET", "--filter=" + FILTER, PLUGIN,
                os.path.abspath(top), "checkpoint=monday", *more) as server:
        got = read_in_pieces(rng, server.uri("vda@"), chain.size)
        assert got == truth, "another byte at %d" % next(
            i for i, (a, b) in enumerate(zip(got, truth)) if a != b)
        context = "base:allocation"
        zeroes = [flagged(of.status(export, context)[context], ZERO)
                  for of, export in ((server, "vda@"), (qemu, ""))]
        assert zeroes[0] == zeroes[1], zeroes
        # A hole, and nothing else, is clean.
        dirty = join((start, end) for start, end, flags
                     in server.status("", context)[context] if flags != 1)
        assert dirty == wanted, (dirty, wanted)
        run("qemu-img", "compare", "-f", "raw", "-F", "qcow2",
            server.uri("vda@"), top)
    assert chain.contents() == before, "an image was changed"
    return chain.kinds


def main():
    kinds = {}
    os.chdir(tempfile.mkdtemp(dir="."))
    folder = os.getcwd()
    for seed in range(SEED, SEED + ROUNDS):
        os.chdir(tempfile.mkdtemp(dir=folder))
        try:
            for kind in play(seed):
                kinds[kind] = kinds.get(kind, 0) + 1
        except BaseException:
            print("FAILED: repeat with: SEED=%d ROUNDS=1" % seed, flush=True)
            raise
    print("seed %d: %d rounds; layers: %s" % (SEED, ROUNDS, ", ".join(
        "%d %s" % (n, kind) for kind, n in sorted(kinds.items()))))


main()
