#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# 2,000 random orders of reads of a server far away, up to 40 reads under way at
# once on each of six connections: all bytes are right, whether nbdkit hands a
# client's requests on one by one or all at once.  SEED=N repeats them.
. "$(dirname "$0")/functions.sh"
export PYTHONPATH=$srcdir/tests
seed=${SEED:-$RANDOM}
echo "SEED=$seed"

# Random bytes, so that those of another place are seen, with clean gaps.
"$python" - "$seed" >truth.raw <<'END'
import random, sys
rng = random.Random(int(sys.argv[1]))
left = 64 << 20
while left > 0:
    for of in rng.randbytes, bytes:
        length = min(left, 4096 * rng.choice([1, 16, 16, 100, 500]))
        sys.stdout.buffer.write(of(length))
        left -= length
END
qemu-img create -q -f qcow2 disk.qcow2 64M
qemu-img bitmap --add -g 4k disk.qcow2 monday
nbdcopy --destination-is-zero truth.raw -- [ qemu-nbd -f qcow2 disk.qcow2 ]
qemu-nbd -r -t -e 40 -B monday -f qcow2 -k "$PWD/near.sock" disk.qcow2 &
pids+=($!)
wait_until 10 listens near.sock
"$builddir/tests/delay-relay" "${sanitizers:+0.}2" far.sock near.sock &
pids+=($!)
wait_until 10 listens far.sock

orders=1000
[ -z "$sanitizers" ] || orders=100
for parallel in 0 1; do
  nbdkit_options=(-D "checkpoint.parallel=$parallel")
  start_nbdkit server.sock "uri=nbd+unix:///?socket=$PWD/far.sock"
  bounded "$python" "$srcdir/tests/read-orders.py" server.sock truth.raw \
    "$((seed + parallel))" "$orders" || fail "parallel=$parallel: exit $?"
  stop_nbdkit
done
! grep error nbdkit.log || fail "something was logged"
leaves_nothing
