# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint map beside what QEMU takes to tell the same.
import os
import subprocess

import images
from lab import KILLED_WITH_US
from measure import Way, Wrong, expect, load

SIZE = 256 * images.GiB
EXTENTS = SIZE // images.BLOCK
PICTURES = ("--text", "--svg=-")
LISTS = ("--extents", "--json", "--imageio", "--kubevirt")
QEMU = "QEMU's answer"


def answer(lab, uri):
    """To a client that asks for dirty blocks and zeroes, as we do, and leaves it
    at that; from the client's start."""
    def run():
        extents = lab.run(lab.map_client, uri, images.CONTEXT).split()[1]
        expect(int(extents), EXTENTS, "extents")
    return run


def mapped(lab, uri, option, memory):
    def run():
        process = subprocess.Popen(
            KILLED_WITH_US + [lab.tool, "map", images.BITMAP, "--uri=" + uri,
                              option], stdout=subprocess.DEVNULL)
        _, process.returncode, usage = os.wait4(process.pid, 0)
        if process.returncode != 0:
            raise Wrong("map failed")
        memory.append(usage.ru_maxrss / 1024)
    return run


@load("tool-map", "256 GiB, every other 64 KiB dirty: qemu-checkpoint map --uri, "
      "as a whole program, to /dev/null",
      targets=[("map " + option, QEMU, 1.2) for option in PICTURES + LISTS]
      + [("map, memory in MiB", None, 64)])
def tool_map(lab):
    uri = images.null_with_runs(lab, SIZE, EXTENTS // 2).uri()
    memory = Way(None, most=0)
    ways = {QEMU: Way(answer(lab, uri))}
    for option in PICTURES + LISTS:
        ways["map " + option] = Way(mapped(lab, uri, option, memory.samples))
    ways["nbdinfo --map --totals"] = Way(lambda: lab.run(
        "nbdinfo", "--map=" + images.CONTEXT, "--totals", uri))
    ways["map, memory in MiB"] = memory
    return ways
