#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint lists, draws and tells as the real virsh does, of random forests:
# the documents that virsh writes are what the tool reads.  SEED=n ROUNDS=m.
. "$(dirname "$0")/functions.sh"
[ "$libvirt" = yes ] || skip "built without libvirt"
requires virsh

seed=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
rounds=$(rounds 12)
echo "repeat with: SEED=$seed ROUNDS=$rounds $0"
"$python" "$srcdir/tests/tool-virsh.py" "$tool" "$seed" "$rounds"
