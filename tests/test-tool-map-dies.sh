#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A list that qemu-checkpoint map cannot finish calls nothing clean that is dirty, and
# holds nobody up: its server dies, its reader leaves or waits, the disk is full.
# SEED=n ROUNDS=1 repeats a failure.
. "$(dirname "$0")/functions.sh"
requires setpriv qemu-system-x86_64

seed=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
"$python" "$srcdir/tests/map-dies.py" "$builddir" "$srcdir/bench" "$tool" "$seed" "$(rounds 3)"
