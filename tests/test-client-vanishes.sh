#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Clients that vanish in the middle of their requests leave the server working
# for those that stay and those that come next.
. "$(dirname "$0")/functions.sh"

qemu-img create -q -f qcow2 disk.qcow2 512M
qemu-img bitmap --add disk.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 7 0 128M' disk.qcow2
start_nbdkit server.sock disk.qcow2

cat >vanish.py <<'END'
import nbd, os, signal, socket, struct, sys
h = nbd.NBD()
h.add_meta_context("base:allocation")
h.connect_unix("server.sock")
if sys.argv[1] == "handshake":          # before the negotiation ends
    s = socket.socket(socket.AF_UNIX)
    s.connect("server.sock")
    s.recv(18)
    s.sendall(struct.pack(">I", 3)[:2])
elif sys.argv[1] == "request":          # in the middle of a request
    os.write(h.aio_get_fd(), struct.pack(">IHH", 0x25609513, 0, 0))
else:                                   # in the middle of a reply
    buffer = nbd.Buffer(32 * 1024 * 1024)
    h.aio_pread(buffer, 4096)
    h.poll(1000)
os.kill(os.getpid(), signal.SIGKILL)
END

# One client stays all the time.
nbdcopy "nbd+unix:///?socket=$PWD/server.sock" stays.raw &
stays=$!
for round in 1 2; do
  vanishing=()
  for how in handshake request reply reply; do
    "$python" vanish.py $how &
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
