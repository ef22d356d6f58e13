#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint map of random disks, in each way in which it prints, is what a
# model says.  SEED=n ROUNDS=1 repeats a failure.
. "$(dirname "$0")/functions.sh"

seed=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
"$python" "$srcdir/tests/property-map.py" "$seed" "$(rounds 8)" "$tool"
