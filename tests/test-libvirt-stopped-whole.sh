#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A stopped guest with disks that have no record, since they are raw or were
# added later: with on-missing=full all of each is served, beside an increment
# or alone, as of a running guest.
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk vda.qcow2 16M
qemu-img create -q -f raw vdb.raw 8M
qemu-io -f raw -c 'write -q -P 7 1M 64k' vdb.raw
guest_disk vdc.qcow2 16M
lab_start
guest_define web1 vda.qcow2 vdb.raw
guest_start web1
virsh checkpoint-create-as web1 monday --diskspec vda --diskspec vdb,checkpoint=no
guest_write web1 vda "write -P 2 9M 64k"
guest_write web1 vdb "write -P 3 2M 64k"
virsh attach-disk web1 "$tmpdir/vdc.qcow2" vdc --driver qemu --subdriver qcow2 \
  --persistent
guest_destroy web1
# Of a guest that has raw disks only.
qemu-img create -q -f raw sda.raw 4M
qemu-io -f raw -c 'write -q -P 8 1M 64k' sda.raw
# A guest can write this to its disk, and is never believed.
qemu-img create -q -f qcow2 -b "$tmpdir/vda.qcow2" -F qcow2 liar.raw 4M
truncate -s 4M liar.raw
guest_define web2 sda.raw liar.raw
md5sum ./*.qcow2 ./*.raw >before
lab_state web1 >state
at=(libvirt="$connect" domain=web1)

# Left out, with what to type, which then helps.
serve "${at[@]}" checkpoint=monday -- '
  nbdinfo "nbd+unix:///vda?socket=$unixsocket"' 2>log >info
cat log info
raw='it is raw, and only qcow2 holds dirty bitmaps, .*; on-missing=full serves it whole$'
grep -Eq "error: NOT in this backup: disk vdb: $raw" log || fail "vdb: $(cat log)"
grep -q '65536 bytes dirty, .*; healthy; NOT in this backup: disk vdb, vdc' info
refuses_export "NOT in this backup: disk vdb: $raw" vdb "${at[@]}" checkpoint=monday
refuses "disk vdb cannot be served: $raw" "${at[@]}" checkpoint=monday disk=vdb

serve "${at[@]}" checkpoint=monday on-missing=full -- '
  for disk in vda vdb vdc; do
    at="nbd+unix:///$disk?socket=$unixsocket"
    nbdinfo --map "$at" >$disk.map
    qemu-img convert -f raw -O raw "$at" $disk.copy
  done
  nbdcopy "nbd+unix:///vdb@monday?socket=$unixsocket" vdb.monday
  nbdcopy "nbd+unix:///vdb@?socket=$unixsocket" vdb.itself
  nbdinfo --list "$uri" >list' 2>log
grep -q "error: disk vdb is served whole: $tmpdir/vdb.raw is raw, " log || fail "$(cat log)"
grep -q "error: disk vdc is served whole: checkpoint monday does not cover disk vdc" log \
  || fail "$(cat log)"
! grep -q 'NOT in this backup' log list || fail "left out: $(cat log list)"
grep -Eq '^ *9437184 +65536 +0 +data' vda.map || fail "vda: $(cat vda.map)"
[ "$(grep -c data vda.map)" = 1 ] || fail "vda is no increment: $(cat vda.map)"
! awk '$3 == 1' vdb.map vdc.map | grep . || fail "not dirty everywhere"
for copy in vdb.copy vdb.monday vdb.itself; do
  cmp vdb.raw $copy || fail "$copy differs"
done
qemu-img compare -q -f qcow2 -F raw vdc.qcow2 vdc.copy || fail "vdc differs"
grep -q 'disk vdb since checkpoint monday of .*, served whole, since nothing was recorded; 8388608 bytes dirty' \
  list || fail "$(cat list)"
grep -q 'disk vda since checkpoint monday of .*; 65536 bytes dirty, .*; healthy' list \
  || fail "$(cat list)"
serve "${at[@]}" checkpoint=monday on-missing=full disk=vdb -- 'nbdcopy "$uri" copy'
cmp vdb.raw copy || fail "disk=vdb differs"
# Not for a checkpoint that libvirt does not know.
refuses 'there is no checkpoint mondya; known are: monday' "${at[@]}" \
  checkpoint=mondya on-missing=full

# Since none: all of them.
serve "${at[@]}" on-missing=full -- '
  for disk in vda vdb vdc; do
    qemu-img convert -f raw -O raw "nbd+unix:///$disk?socket=$unixsocket" $disk.copy
  done
  nbdinfo --list --json "$uri" >list.json' 2>log
[ "$(jq -r '[.exports[]["export-name"]] | join(" ")' list.json)" \
  = "vda vdb vdc vda@ vdb@ vdc@" ] || fail "$(cat list.json)"
[ "$(grep -c 'disk vd[abc], served whole, since ' list.json)" = 3 ] \
  || fail "$(cat list.json)"
for disk in vda vdc; do
  qemu-img compare -q -f qcow2 -F raw $disk.qcow2 $disk.copy || fail "$disk differs"
done
cmp vdb.raw vdb.copy || fail "vdb differs"
grep -q "error: disk vdb is served whole: $tmpdir/vdb.raw is raw, " log || fail "$(cat log)"
refuses_export 'all of each disk is served, .*start with checkpoint=monday' \
  vda@monday "${at[@]}" on-missing=full

# No disk has a record, or could have one.
refuses "none of its disks can be read; the first, .*: $raw" libvirt="$connect" domain=web2
serve libvirt="$connect" domain=web2 on-missing=full -- '
  nbdcopy --no-extents "nbd+unix:///vda?socket=$unixsocket" sda.copy
  nbdcopy --no-extents "nbd+unix:///vdb?socket=$unixsocket" liar.copy
  nbdinfo --list "$uri" >list'
cmp sda.raw sda.copy || fail "a raw disk alone differs"
cmp liar.raw liar.copy || fail "a raw disk was taken for a qcow2 image"
[ "$(grep -c ', served whole, since nothing was recorded' list)" = 2 ] || fail "$(cat list)"
md5sum -c --quiet before || fail "a disk was changed"
lab_state web1 | diff -u state - || fail "something is left"

# Of type block, as a logical volume is.
if [ "$(id -u)" -eq 0 ] && loop=$(losetup -r -f --show vdb.raw 2>/dev/null); then
  end_loop ()
  {
    local status=$?
    set +e
    losetup -d "$loop"
    (exit $status)
    lab_cleanup
  }
  trap end_loop EXIT
  virsh attach-disk web2 "$loop" vdc --sourcetype block --driver qemu \
    --subdriver raw --config
  serve libvirt="$connect" domain=web2 on-missing=full disk=vdc -- '
    nbdcopy --no-extents "$uri" vdc.copy; nbdinfo "$uri"' >info
  cmp vdb.raw vdc.copy || fail "the device differs"
  grep 'disk vdc, served whole, since nothing was recorded; 8388608' info
  virsh detach-disk web2 vdc --config
fi

# The same guest running.
guest_start web2
lab_state web2 >state
serve libvirt="$connect" domain=web2 on-missing=full disk=vda -- '
  nbdcopy --no-extents "$uri" sda.copy; nbdinfo --list "$uri" >list'
cmp sda.raw sda.copy || fail "a raw disk of a running guest differs"
grep 'disk vda, served whole, since nothing was recorded; 4194304' list
lab_state web2 | diff -u state - || fail "something is left"
