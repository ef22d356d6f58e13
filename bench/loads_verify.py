# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint verify beside qemu-img compare, over the same bytes.
import itertools
import os
import subprocess

import images
from lab import KILLED_WITH_US
from measure import Way, Wrong, load


def backup(lab, path):
    convert(lab, path, lab.image("frag", images.frag))


def convert(lab, path, disk, *options):
    lab.run("qemu-img", "convert", "-O", "qcow2", *options, disk, path)


def increment(lab, path):
    """Of every other 64 KiB, on what was there before."""
    base = lab.image("verify-base", backup)
    lab.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F",
            "qcow2", path)
    lab.write(path, images.dirty_blocks(images.FRAG_SIZE))


def verify(lab, disk, of, *options):
    return [lab.tool, "verify", "--file=" + disk, "--since=" + images.BITMAP,
            *options, of]


def memory(lab, command):
    """MiB at most."""
    def run():
        process = subprocess.Popen(KILLED_WITH_US + command,
                                   stdout=subprocess.DEVNULL)
        _, process.returncode, usage = os.wait4(process.pid, 0)
        if process.returncode != 0:
            raise Wrong("verify failed")
        return usage.ru_maxrss / 1024
    return run


@load("verify", "4 GiB disk, all data, every other 64 KiB dirty, and a backup of "
      "it: full, and incremental; a sample of 1 %",
      targets=[("verify", "qemu-img compare", 1.25),
               ("verify, incremental", "qemu-img compare, incremental", 1.25),
               ("verify, memory in MiB", None, 64)],
      images=["frag", "verify-base", "verify-increment"])
def verify_frag(lab):
    disk = lab.image("frag", images.frag)
    full = lab.image("verify-base", backup)
    newest = lab.image("verify-increment", increment)

    def ours(of, *options):
        return Way(lambda: lab.run(*verify(lab, disk, of, *options)))

    def theirs(of):
        return Way(lambda: lab.run("qemu-img", "compare", "-f", "qcow2", "-F",
                                   "qcow2", disk, of))
    return {
        "verify": ours(full),
        "qemu-img compare": theirs(full),
        "verify, incremental": ours(newest),
        "qemu-img compare, incremental": theirs(newest),
        "verify, sample of 1 %": ours(full, "--sample=1"),
        "verify, memory in MiB": Way(memory(lab, verify(lab, disk, full))),
    }


def over(lab, path, base, options, step):
    """Of every other piece, one of step bytes is written on what was there."""
    lab.run("qemu-img", "create", "-q", "-f", "qcow2", *options, "-b", base,
            "-F", "qcow2", path)
    images.add_bitmap(lab, path)
    lab.write(path, lambda client: images.write_blocks(
        client, range(step, images.FRAG_SIZE // 2, 2 * step), step, 2))


PAIRS = [a + " and " + b for a, b in itertools.product(
    ["plain", "subclusters"], repeat=2)]
LAYERS = ["layers of %s" % what for what in
          ["plain 64 KiB", "64 KiB in subclusters", "4 KiB in subclusters"]]


@load("verify-subclusters", "2 GiB disk, all data, every other 64 KiB dirty, and "
      "a full backup of it, each plain or with subclusters; and both as an image "
      "with every other 64 or 4 KiB over one with all",
      targets=[("verify, " + what, "qemu-img compare, " + what, 1.25)
               for what in PAIRS + LAYERS])
def verify_subclusters(lab):
    plain = lab.image("frag-half", images.frag_half)
    disks = {"plain": plain,
             "subclusters": lab.image("frag-sub", images.frag_subclusters)}
    backups = {"plain": lab.new(".qcow2"), "subclusters": lab.new(".qcow2")}
    convert(lab, backups["plain"], plain)
    convert(lab, backups["subclusters"], plain, *images.SUBCLUSTERS)
    pairs = {a + " and " + b: (disks[a], backups[b])
             for a, b in itertools.product(disks, backups)}
    for what, options, step in zip(
            LAYERS, [(), images.SUBCLUSTERS, images.SUBCLUSTERS],
            [64 * images.KiB, 64 * images.KiB, 4 * images.KiB]):
        pairs[what] = [lab.new(".qcow2"), lab.new(".qcow2")]
        for path in pairs[what]:
            over(lab, path, plain, options, step)
    ways = {}
    for what, (disk, of) in pairs.items():
        ways["verify, " + what] = Way(
            lambda disk=disk, of=of: lab.run(*verify(lab, disk, of)))
        ways["qemu-img compare, " + what] = Way(
            lambda disk=disk, of=of: lab.run(
                "qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", disk, of))
    return ways
