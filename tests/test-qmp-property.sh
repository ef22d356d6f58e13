#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Backups with qmp= of random guests are compared with a model, byte by byte and block
# by block.  SEED=n ROUNDS=m repeat and size a run.
. "$(dirname "$0")/functions.sh"
requires qemu-system-x86_64

seed=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
rounds=$(rounds 4)
echo "repeat with: SEED=$seed ROUNDS=$rounds $0"
"$python" "$srcdir/tests/qmp-views-property.py" "$plugin" "$filter" "$tool" "$seed" \
  "$rounds"
