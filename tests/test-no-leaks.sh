#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A thousand clients that connect, look, read, are refused and leave cost no
# memory and no file descriptor; and with the sanitizers, nothing allocated is
# forgotten at the end.
[ -z "${ASAN_OPTIONS:-}" ] || unset ASAN_OPTIONS
. "$(dirname "$0")/functions.sh"
if [ -n "$sanitizers" ]; then
  ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=1"
fi

guest_disk disk.qcow2
names=
for i in $(seq 12); do
  qemu-img bitmap --add disk.qcow2 "c$i"
  qemu-io -f qcow2 -c "write -q -P $i ${i}M 100k" disk.qcow2
done
start_nbdkit sock disk.qcow2 checkpoint=c3

cat >clients.py <<'EOF'
import nbd, sys

def client(name):
    h = nbd.NBD()
    h.set_export_name(name)
    h.add_meta_context("base:allocation")
    try:
        h.connect_unix("sock")
    except nbd.Error:
        assert name == "vda@nothing", name
        return
    h.pread(65536, 3 << 20)
    h.block_status(h.get_size(), 0, lambda *args: 0)
    h.shutdown()

for i in range(int(sys.argv[1])):
    client(["", "vda", "vda@c%d" % (i % 12 + 1), "vda@nothing"][i % 4])
EOF
growth () { awk '/^VmRSS/ { print $2 }' "/proc/$nbdkit_pid/status"; }
descriptors () { ls "/proc/$nbdkit_pid/fd" | wc -l; }

"$python" clients.py 200 2>/dev/null
nbdinfo --list "nbd+unix:///?socket=$PWD/sock" >/dev/null
wait_until 10 settled descriptors       # connections come and go in the background
memory=$(growth) fds=$(descriptors)
"$python" clients.py 800
nbdinfo --list "nbd+unix:///?socket=$PWD/sock" >/dev/null
echo "memory: $memory then $(growth) KiB; descriptors: $fds then $(descriptors)"
wait_until 5 eval '[ "$(descriptors)" -le "$fds" ]'
if [ -z "$sanitizers" ]; then
  # The allocator's own slack; 800 leaked dirty maps would be far more.
  [ "$(growth)" -lt $((memory + 4096)) ] || fail "memory grows with clients"
fi
stop_nbdkit
leaves_nothing
