#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint map of 256 GiB with 4,194,304 extents takes at most 64 MiB.
. "$(dirname "$0")/functions.sh"
requires setpriv

# A sanitizer's own memory would be counted.
limit=64
[ -z "$sanitizers" ] || limit=0
"$python" "$srcdir/tests/map-memory.py" "$builddir" "$srcdir/bench" "$tool" $limit
