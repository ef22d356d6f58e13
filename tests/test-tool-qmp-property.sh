#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Checkpoints of a running QEMU are made and deleted at random, while its guest
# writes, takes snapshots and restarts: see qmp-property.py.  SEED=n ROUNDS=m repeat
# and size a run.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/qemu-lab.sh"

seed=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
rounds=$(rounds 4)
echo "repeat with: SEED=$seed ROUNDS=$rounds $0"
timeout 600 "$python" "$srcdir/tests/qmp-property.py" "$tool" "$plugin" "$filter" \
  "$seed" "$rounds" || fail "SEED=$seed"
no_undo || fail "a process is left"
