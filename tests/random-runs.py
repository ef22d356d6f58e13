# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Commands for qemu-io that write runs of all sizes between 4 KiB and 2 MiB, with
# gaps of all sizes, to the first so many MiB of a disk.
#
#   random-runs.py SEED MIB

import random, sys

rng = random.Random(int(sys.argv[1]))
offset = 0
while True:
    offset += 4096 * rng.choice([1, 2, 16, 100, 1000])
    length = 4096 * rng.choice([1, 1, 16, 16, 64, 200, 512])
    if offset + length > int(sys.argv[2]) << 20:
        break
    print("write -q -P %d %d %d" % (rng.randrange(1, 256), offset, length))
    offset += length
