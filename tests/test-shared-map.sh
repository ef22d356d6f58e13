#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The dirty map is read once, a slice further than it is asked for or more, and
# shared by all clients: a server that counts block-status requests sees no more
# for ten clients at once than for one.
. "$(dirname "$0")/functions.sh"

qemu-img create -q -f qcow2 disk.qcow2 16G
qemu-img bitmap --add disk.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 2 1M 64k' -c 'write -q -P 3 15G 64k' disk.qcow2
# QEMU's trace of its own NBD server counts for us.
qemu-nbd -r -f qcow2 -t -e 30 -k "$PWD/qemu.sock" -B monday \
  -T 'enable=nbd_co_send_extents,file=trace.log' disk.qcow2 &
pids+=($!)
wait_until 10 listens qemu.sock
start_nbdkit sock uri="nbd+unix:///?socket=$PWD/qemu.sock" checkpoint=monday

cat >client.py <<'EOF'
import nbd, sys
h = nbd.NBD()
h.add_meta_context("base:allocation")
h.connect_unix("sock")
end = int(sys.argv[1])
seen, offset = [], 0
while offset < end:
    step = []
    h.block_status(min(end - offset, 1 << 30), offset,
                   lambda c, o, e, err: step.extend(e))
    for length, flags in zip(step[::2], step[1::2]):
        if flags == 0:
            seen.append((offset, length))
        offset += length
want = [(1 << 20, 65536), (15 << 30, 65536)]
assert seen == [w for w in want if w[0] < end], seen
EOF
# QEMU answers each request once per context.
requests () { grep -c 'nbd_co_send_extents' trace.log || :; }

"$python" client.py $((1 << 30))
# That slice, and the next, two contexts each; more where it took its time.
first_two () { [ "$(requests)" -ge 4 ]; }
wait_until 10 first_two
sleep 0.5
[ "$(requests)" -lt 10 ] || fail "all was asked for the first GiB"
clients=()
for i in 1 2 3 4 5 6 7 8 9 10; do
  "$python" client.py $((16 << 30)) &
  clients+=($!)
done
for pid in "${clients[@]}"; do wait "$pid"; done
# 16 GiB in slices of 3.5 GiB.
[ "$(requests)" -eq 10 ] || fail "$(requests) answers for all, not 10"
