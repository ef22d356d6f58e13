#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# "vda@" is the disk itself, with its own allocation and zeroes: as QEMU's own
# server shows it, whatever view= says, beside the deltas of the same instant.
# A backup is compared with it; the view of changes gives false verdicts.
. "$(dirname "$0")/functions.sh"

qemu-img create -q -f qcow2 base.qcow2 64M
qemu-io -f qcow2 -c 'write -q -P 1 0 3M' -c 'write -q -P 2 20M 128k' \
  -c 'write -q -z 30M 1M' base.qcow2
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 disk.qcow2 80M
qemu-img convert -f qcow2 -O qcow2 disk.qcow2 monday.qcow2
qemu-img bitmap --add disk.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 3 1M 64k' -c 'write -q -z 2M 64k' \
  -c 'discard -q 20M 64k' -c 'write -q -P 4 70M 256k' disk.qcow2

make_map_of

# As QEMU's own server has it.
qemu-nbd -t -r -f qcow2 -k "$PWD/q.sock" disk.qcow2 &
qemu=$!
pids+=($qemu)
wait_until 20 nbdinfo --size "nbd+unix:///?socket=$PWD/q.sock" >/dev/null
sh map_of "nbd+unix:///?socket=$PWD/q.sock" >wanted
nbdcopy "nbd+unix:///?socket=$PWD/q.sock" wanted.raw
kill $qemu
wait $qemu || :
for view in overlay sparse guard; do
  serve disk.qcow2 checkpoint=monday view=$view -- '
    whole="nbd+unix:///vda@?socket=$unixsocket"
    sh map_of "$whole" >map
    nbdcopy "$whole" got.raw
    sh map_of "nbd+unix:///vda?socket=$unixsocket" >delta'
  diff -u wanted map || fail "view=$view: another map than QEMU's"
  cmp wanted.raw got.raw || fail "view=$view: other bytes"
  ! cmp -s map delta || fail "view=$view: the delta is the whole"
done

# A merging filter in front, and a server's export, change nothing.
nbdkit_options=(--filter="$filter")
serve disk.qcow2 checkpoint=monday -- '
  sh map_of "nbd+unix:///vda@?socket=$unixsocket" >map
  nbdinfo --list --json "$uri" >list.json'
nbdkit_options=()
diff -u wanted map || fail "bitmap-merge: another map"
[ "$(jq -r '[.exports[]["export-name"]] | join(" ")' list.json)" \
  = "vda vda@monday vda@" ] || fail "not listed last: $(cat list.json)"
jq -e '.exports[2].description
       | test("^the whole disk vda, its files locked")' list.json \
  >/dev/null || fail "$(cat list.json)"
qemu-nbd -t -r -f qcow2 -B monday -k "$PWD/q.sock" disk.qcow2 &
pids+=($!)
wait_until 20 nbdinfo --size "nbd+unix:///?socket=$PWD/q.sock" >/dev/null
serve uri="nbd+unix:///?socket=$PWD/q.sock" checkpoint=monday -- '
  nbdinfo --list "$uri" >list
  name=$(sed -n "s/^export=\"\(.*@\)\":$/\1/p" list)
  sh map_of "nbd+unix:///$name?socket=$unixsocket" >map'
diff -u wanted map || fail "uri=: another map"
kill $!
wait $! || :

# A first backup copies what is there, and no more.
serve disk.qcow2 checkpoint=monday -- '
  qemu-img convert -f raw -O qcow2 "nbd+unix:///vda@?socket=$unixsocket" first.qcow2'
qemu-img convert -f qcow2 -O qcow2 disk.qcow2 direct.qcow2
qemu-img map -f qcow2 --output=json first.qcow2 | jq -c '.[] | [.start, .length, .data]' >got
qemu-img map -f qcow2 --output=json direct.qcow2 | jq -c '.[] | [.start, .length, .data]' >wanted
diff -u wanted got || fail "the first backup is not as sparse as QEMU's"

# A good backup, and one that lacks a block that the record knows and one that
# it does not: the whole disk tells them apart, the view of changes does not.
serve disk.qcow2 checkpoint=monday -- '
  qemu-img convert -f raw -O qcow2 -B monday.qcow2 -F qcow2 "$uri" tuesday.qcow2'
cp tuesday.qcow2 bad.qcow2
qemu-io -f qcow2 -c 'write -q -P 9 0 64k' bad.qcow2
serve disk.qcow2 checkpoint=monday -- '
  whole="nbd+unix:///vda@?socket=$unixsocket"
  qemu-img compare -f raw -F qcow2 "$whole" tuesday.qcow2 || exit 1
  ! qemu-img compare -f raw -F qcow2 "$whole" bad.qcow2 || exit 2
  ! qemu-img compare -f raw -F qcow2 "$uri" tuesday.qcow2 || exit 3' \
  || fail "a verdict is not as the manual says ($?)"

# Nothing else has such a name.
refuses_export 'there is no disk vdz; disks are: vda' vdz@ disk.qcow2
refuses_export 'there is no disk ' @ disk.qcow2
serve disk.qcow2 -- 'nbdinfo --size "nbd+unix:///vda@/0?socket=$unixsocket"' \
  | grep -qx $((80 << 20)) || fail "its only part is not it"
refuses_export 'export vda@/1: there is 1 part' vda@/1 disk.qcow2
