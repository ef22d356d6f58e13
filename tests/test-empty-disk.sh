#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A disk of 0 bytes is served from an export; in an image QEMU keeps no bitmap
# for one, which is said.
. "$(dirname "$0")/functions.sh"

mkfifo commands
qemu-storage-daemon --chardev stdio,id=m --monitor chardev=m \
  --blockdev null-co,node-name=n,size=0,read-zeroes=on \
  --nbd-server "addr.type=unix,addr.path=$PWD/qemu.sock" \
  <commands >replies &
pids+=($!)
exec 7>commands
cat >&7 <<'END'
{"execute":"qmp_capabilities"}
{"execute":"block-dirty-bitmap-add","arguments":{"node":"n","name":"monday","disabled":true}}
{"execute":"block-export-add","arguments":{"type":"nbd","id":"e","node-name":"n","name":"vda","bitmaps":["monday"]}}
END
offers_it () { nbdinfo --size "$export" >/dev/null 2>&1; }
export="nbd+unix:///vda?socket=$PWD/qemu.sock"
wait_until 10 offers_it

for view in overlay sparse guard; do
  serve "uri=$export" view=$view -- '
    nbdinfo --size "$uri"
    nbdinfo --map "$uri"
    nbdcopy "$uri" copy.raw
    qemu-img convert -f raw -O qcow2 "$uri" copy.qcow2
    nbdinfo --list "$uri" >list' >out
  [ "$(cat out)" = 0 ] || fail "view=$view: size and map are: $(cat out)"
  [ -e copy.raw ] && [ ! -s copy.raw ] || fail "view=$view: no empty copy"
  qemu-img info copy.qcow2 | grep -q '(0 bytes)' || fail "view=$view: no empty copy"
  grep -q 'disk vda since checkpoint monday; 0 bytes dirty' list \
    || fail "view=$view: nbdinfo --list says: $(cat list)"
  rm copy.raw copy.qcow2
done

qemu-img create -q -f qcow2 disk.qcow2 0
qemu-img bitmap --add disk.qcow2 monday 2>/dev/null || :
if qemu-img info disk.qcow2 | grep -q monday; then
  serve disk.qcow2 -- 'nbdinfo --size "$uri"'
else
  refuses "no .*bitmap.*covers it.*disk.qcow2.*; on-missing=full serves it whole" disk.qcow2
fi
