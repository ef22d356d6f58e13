#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Random disks and backups, good ones and such with faults: qemu-checkpoint verify
# finds what differs, no more and no less, and samples find it as often as they
# say: see property-verify.py.  SEED=n ROUNDS=m TRIALS=k.
. "$(dirname "$0")/functions.sh"

seed=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
rounds=$(rounds 12 4) trials=${TRIALS:-$(ROUNDS='' rounds 60 12)}
echo "repeat with: SEED=$seed ROUNDS=$rounds TRIALS=$trials $0"

half=$(((rounds + 1) / 2))
"$python" "$srcdir/tests/property-verify.py" "$plugin" "$tool" "$seed" \
  "$half" &
first=$!
second_status=0
"$python" "$srcdir/tests/property-verify.py" "$plugin" "$tool" \
  $((seed + half)) $((rounds - half)) || second_status=$?
[ "$trials" -lt 4 ] || "$python" "$srcdir/tests/property-verify.py" "$plugin" "$tool" \
  "$seed" 0 "$trials" || second_status=$?
wait "$first" && [ "$second_status" -eq 0 ]
