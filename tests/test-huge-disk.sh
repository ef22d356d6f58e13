#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A sparse disk of 8 TiB, dirty across 4 GiB and at its very end: its map is
# QEMU's, and an incremental backup of it holds just what is dirty.
. "$(dirname "$0")/functions.sh"

end=8796093022208
qemu-img create -q -f qcow2 disk.qcow2 8T
qemu-img bitmap --add disk.qcow2 monday
qemu-img create -q -f qcow2 monday.qcow2 8T
qemu-io -f qcow2 -c 'write -q -P 1 4294901760 128k' -c 'write -q -z 4T 192k' \
  -c "write -q -P 2 $((end - 65536)) 64k" disk.qcow2
printf '%s\n' '4294901760 131072' '4398046511104 196608' \
  "$((end - 65536)) 65536" >want
qemu_dirty disk.qcow2 monday | join_ranges | diff -u want - \
  || fail "QEMU's bitmap is another than was meant"

start_nbdkit server.sock disk.qcow2
uri="nbd+unix:///?socket=$PWD/server.sock"
[ "$(nbdinfo --size "$uri")" = $end ] || fail "another size"
nbdinfo --list "$uri" | grep -q ' 393216 bytes dirty, granularity 65536' \
  || fail "another number of dirty bytes in the description"
nbdinfo --json --map "$uri" \
  | jq -r '.[] | select(.type != 1) | "\(.offset) \(.length)"' \
  | join_ranges >got
diff -u want got || fail "another map than the bitmap's"
nbdsh -u "$uri" -c "
assert h.pread(65536, $end - 65536) == b'\2' * 65536
assert h.pread(4096, 4294967296) == b'\1' * 4096
assert h.pread(4096, 7 * 2 ** 40) == bytes(4096)"

qemu-img convert -f raw -B monday.qcow2 -F qcow2 -O qcow2 "$uri" inc.qcow2
allocated inc.qcow2 >got
diff -u want got || fail "other clusters than the bitmap's are allocated"
for range in '4294901760 131072 1' '4398046511104 196608 0' \
             "$((end - 65536)) 65536 2"; do
  read -r offset length pattern <<<"$range"
  qemu-io -r -f qcow2 -c "read -P $pattern $offset $length" inc.qcow2 \
    | grep -q '^read ' || fail "wrong bytes at $offset"
  ! qemu-io -r -f qcow2 -c "read -P $pattern $offset $length" inc.qcow2 \
    | grep -q 'Pattern verification failed' || fail "wrong bytes at $offset"
done
kill "$nbdkit_pid"
wait "$nbdkit_pid" || fail "nbdkit ended badly"
