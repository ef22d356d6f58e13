#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Random changes of bitmaps in stopped images end in the same bits as a model's, and
# those that cannot be done change nothing.  SEED=n ROUNDS=m.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/bitmaps.sh"

seed=${SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
rounds=$(rounds 25)
echo "repeat with: SEED=$seed ROUNDS=$rounds $0"
bounded "$python" "$srcdir/tests/property-bitmaps.py" "$seed" "$rounds" "$change"
for image in ./*.qcow2; do
  qemu-img check -q -f qcow2 "$image" || fail "$image is damaged"
done
