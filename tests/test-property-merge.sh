#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Random histories of a disk over several layers and bitmaps, backed up through
# the filter in every view: see property-merge.py.  SEED=n ROUNDS=m repeat and
# size a run.
. "$(dirname "$0")/functions.sh"

seed=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
rounds=$(rounds 40 10)
echo "repeat with: SEED=$seed ROUNDS=$rounds $0"

half=$(((rounds + 1) / 2))
"$python" "$srcdir/tests/property-merge.py" "$filter" "$plugin" "$seed" \
  "$half" &
first=$!
second_status=0
"$python" "$srcdir/tests/property-merge.py" "$filter" "$plugin" \
  $((seed + half)) $((rounds - half)) || second_status=$?
wait "$first" && [ "$second_status" -eq 0 ]
