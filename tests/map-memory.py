# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# How much memory qemu-checkpoint map takes for 4,194,304 extents on 256 GiB.
#
#   map-memory.py BUILD BENCH TOOL LIMIT
#
# LIMIT is in MiB.  0: there is none.

import os
import subprocess
import sys

sys.path.insert(0, sys.argv[2])
sys.dont_write_bytecode = True

import images  # noqa: E402
import lab  # noqa: E402

SIZE = 256 << 30
RUNS = SIZE // images.BLOCK // 2


def peak(tool, uri, option):
    """KiB; it starts no programs, whose memory would be told with its own."""
    out = os.open("out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    process = subprocess.Popen([tool, "map", images.BITMAP, "--uri=" + uri,
                                option], stdout=out)
    status, usage = os.wait4(process.pid, 0)[1:]
    os.close(out)
    assert status == 0, option
    return usage.ru_maxrss


def main():
    build, tool, limit = sys.argv[1], sys.argv[3], int(sys.argv[4]) << 10
    with lab.Lab(build, os.getcwd()) as here, here.servers():
        uri = images.null_with_runs(here, SIZE, RUNS).uri()
        for option in ("--text", "--svg=-", "--extents"):
            took = peak(tool, uri, option)
            print("%s: %d KiB" % (option, took))
            assert took <= limit or limit == 0, option
            with open("out") as f:
                if option == "--extents":
                    assert sum(1 for line in f) == 2 * RUNS
                else:
                    assert " in %d runs, " % RUNS in f.read(), option


main()
