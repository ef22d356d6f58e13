#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Clients that vanish with many requests unanswered leave the server working
# for those that stay and those that come next.  nbdkit 1.32 itself aborts
# then, whatever the plugin ("Assertion `sock >= 0' failed"), unless requests
# are serialized, as the manual says.
. "$(dirname "$0")/functions.sh"

qemu-img create -q -f qcow2 disk.qcow2 512M
qemu-img bitmap --add disk.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 7 0 128M' disk.qcow2
case $(nbdkit --version) in
  'nbdkit 1.32.'*)
    nbdkit_options=(--filter=noparallel)
    start_nbdkit server.sock disk.qcow2 serialize=requests ;;
  *) start_nbdkit server.sock disk.qcow2 ;;
esac

cat >vanish.py <<'END'
import nbd, os, signal
h = nbd.NBD()
h.add_meta_context("base:allocation")
h.connect_unix("server.sock")
buffers = [nbd.Buffer(8 * 1024 * 1024) for _ in range(32)]
for i, buffer in enumerate(buffers):
    h.aio_pread(buffer, i * 1024 * 1024)
    h.aio_block_status(1024 * 1024, i * 1024 * 1024, lambda *a: 0)
h.poll(1000)
os.kill(os.getpid(), signal.SIGKILL)
END

# One client stays all the time.
nbdcopy "nbd+unix:///?socket=$PWD/server.sock" stays.raw &
stays=$!
for round in 1 2 3 4; do
  vanishing=()
  for n in 1 2; do
    "$python" vanish.py &
    vanishing+=($!)
  done
  for pid in "${vanishing[@]}"; do
    status=0
    wait "$pid" 2>/dev/null || status=$?
    [ $status -eq 137 ] || fail "a client ended with $status"
  done
done
wait $stays || fail "the client that stayed failed"

kill -0 "$nbdkit_pid" || fail "nbdkit ended"
qemu-img convert -O raw disk.qcow2 disk.raw
cmp disk.raw stays.raw || fail "wrong bytes for the client that stayed"
timeout 60 nbdcopy "nbd+unix:///?socket=$PWD/server.sock" next.raw
cmp disk.raw next.raw || fail "wrong bytes for the next client"
timeout 10 nbdinfo --json --map "nbd+unix:///?socket=$PWD/server.sock" \
  | jq -r '.[] | select(.type != 1) | "\(.offset) \(.length)"' | join_ranges >got
qemu_dirty disk.qcow2 monday | join_ranges >want
diff -u want got || fail "a wrong map for the next client"
kill "$nbdkit_pid"
wait "$nbdkit_pid" || fail "nbdkit ended badly"
leaves_nothing
