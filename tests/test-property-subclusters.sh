#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Random chains of images with subclusters (extended L2 entries) and without are
# read as QEMU reads them: see property-subclusters.py.  SEED=n ROUNDS=m.
. "$(dirname "$0")/functions.sh"

seed=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
if [ -z "$sanitizers" ]; then rounds=${ROUNDS:-24}
else rounds=${ROUNDS:-8}; fi
echo "repeat with: SEED=$seed ROUNDS=$rounds $0"

"$python" "$srcdir/tests/property-subclusters.py" "$plugin" "$filter" "$seed" \
  "$rounds"
