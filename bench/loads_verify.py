# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint verify beside qemu-img compare, over the same bytes.
import os
import subprocess

import images
from lab import KILLED_WITH_US
from measure import Way, Wrong, load


def backup(lab, path):
    lab.run("qemu-img", "convert", "-O", "qcow2",
            lab.image("frag", images.frag), path)


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
