# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# How the time grows: with what is dirty, and with the size of the disk.
import nbd

import images
import loads_map
from measure import Way, load

RUNS = [1 << n for n in range(11, 22, 2)]
SIZES = [16 * images.GiB, 256 * images.GiB, images.TiB, 4 * images.TiB,
         16 * images.TiB]
FRAGMENTATION = "fragmentation"
SIZE = "size"
titles = {FRAGMENTATION: ("Time to have the map of a disk of 256 GiB",
                          "dirty runs", "s"),
          SIZE: ("Time from start to the first block status, file=",
                 "disk, GiB", "s")}


@load("growth-runs", "256 GiB, more and more dirty runs: from our start, with "
      "uri=, until the map is read, and nbdinfo --map of QEMU",
      targets=[("ours, %d runs" % RUNS[-1], "ours, %d runs" % RUNS[-2], 4.4),
               ("ours, %d runs" % RUNS[-1], "QEMU, %d runs" % RUNS[-1], 2.0)])
def growth_runs(lab):
    ways = {}
    size = 256 * images.GiB
    for runs in RUNS:
        qemu = images.null_with_runs(lab, size, runs)
        args = ["uri=" + qemu.uri(), "checkpoint=" + images.BITMAP]
        last = loads_map.last_block(size, size // images.BLOCK == 2 * runs)
        ways["ours, %d runs" % runs] = loads_map.started(
            lab, args, last, point=(FRAGMENTATION, "ours, from start", runs))
        ways["QEMU, %d runs" % runs] = direct(lab, qemu.uri(), runs)
        if runs <= 1 << 18:
            ways["nbdinfo of ours, %d runs" % runs] = loads_map.started(
                lab, args, lambda uri: loads_map.totals(lab, uri),
                point=(FRAGMENTATION, "ours, from start, nbdinfo", runs))
    return ways


def direct(lab, uri, runs):
    return Way(lambda: loads_map.expect(
        min(loads_map.totals(lab, uri, images.CONTEXT)), runs * images.BLOCK,
        "dirty bytes"), point=(FRAGMENTATION, "nbdinfo of QEMU", runs))


def sparse(lab, size):
    """With 1,024 dirty blocks, all in the first 16 GiB."""
    path = lab.new(".qcow2")
    images.create(lab, path, size)
    images.add_bitmap(lab, path)
    lab.write(path, lambda client: [
        client.zero(images.BLOCK, n * 16 * images.MiB) for n in range(1024)])
    return path


def first_block(context):
    def ask(uri):
        client = nbd.NBD()
        client.add_meta_context(context)
        client.connect_uri(uri)
        client.block_status(images.BLOCK, 0, lambda *_: 0,
                            nbd.CMD_FLAG_REQ_ONE)
        client.shutdown()
    return ask


def qemu_started(lab, path, point):
    def run():
        with lab.servers():
            first_block(images.CONTEXT)(
                lab.qemu_nbd(path, images.BITMAP).uri())
    return Way(run, point=point)


@load("growth-size", "larger and larger disks, 1,024 dirty runs: from start "
      "to the first block status, ours with file= and qemu-nbd",
      targets=[("ours, 16384 GiB", "ours, 16 GiB", 1.2)], times=6)
def growth_size(lab):
    ways = {}
    for size in SIZES:
        path, gib = sparse(lab, size), size // images.GiB
        args = ["file=" + path, "checkpoint=" + images.BITMAP]
        ways["ours, %d GiB" % gib] = loads_map.started(
            lab, args, first_block("base:allocation"),
            point=(SIZE, "ours", gib))
        ways["qemu-nbd, %d GiB" % gib] = qemu_started(
            lab, path, (SIZE, "qemu-nbd", gib))
    return ways
