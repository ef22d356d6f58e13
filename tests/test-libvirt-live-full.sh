#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A running guest whose disks can hold no bitmap (raw, qcow2 version 2): all of it
# can be read as of one point in time, without checkpoint= or create=; and disks
# that no backup covers are named.
. "$(dirname "$0")/libvirt-lab.sh"

qemu-img create -q -f raw vda.raw 8M
qemu-io -f raw -c 'write -q -P 7 1M 64k' vda.raw
qemu-img create -q -f qcow2 -o compat=0.10 vdb.qcow2 8M
qemu-io -c 'write -q -P 8 2M 64k' vdb.qcow2
guest_disk vdc.qcow2 8M
guest_disk vdd.qcow2 8M
lab_start
guest_define web1 vda.raw vdb.qcow2 vdc.qcow2 vdd.qcow2
virsh dumpxml --inactive web1 >web1.xml
"$python" - web1.xml <<'END'
import sys, xml.etree.ElementTree as ET
tree = ET.parse(sys.argv[1])
for disk in tree.getroot().iterfind("devices/disk"):
    target = disk.find("target").get("dev")
    if target == "vdc":
        ET.SubElement(disk, "readonly")
tree.write(sys.argv[1])
END
virsh define web1.xml
guest_start web1
lab_state web1 >before

# The way out is said; it leads out.
refuses 'has no checkpoint, so nothing was recorded; create=NAME makes .*, and on-missing=full serves all without one' \
  libvirt="$connect" domain=web1
serve libvirt="$connect" domain=web1 on-missing=full -- '
  for disk in vda vdb; do
    qemu-img convert -f raw -O raw "nbd+unix:///$disk?socket=$unixsocket" \
      $disk.copy
  done
  nbdinfo --map "nbd+unix:///vda?socket=$unixsocket" >map
  nbdinfo --list "$uri" >list' 2>log
qemu-img compare -q -f raw -F raw -U vda.raw vda.copy || fail "vda differs"
qemu-img compare -q -f qcow2 -F raw -U vdb.qcow2 vdb.copy || fail "vdb differs"
grep -Eq '^ *1048576 +65536 +0 +data' map || fail "$(cat map)"
grep -q 'error: NOT in this backup: disk vdc: it is read-only' log \
  || fail "$(cat log)"
grep -q 'disk vda.*served whole.*NOT in this backup: disk vdc' list \
  || fail "$(cat list)"
refuses 'no disk vdc that can be backed up: it is read-only .*; disks that can: ' \
  libvirt="$connect" domain=web1 on-missing=full disk=vdc
refuses 'no disk VDA that can be backed up; disks that can: .*vda' \
  libvirt="$connect" domain=web1 on-missing=full disk=VDA
lab_state web1 | diff -u before - || fail "something is left"

# A checkpoint is made where there can be one, and the disks without are served.
refuses 'checkpoint monday cannot be made: no disk in the backup is qcow2 of version 3.*on-missing=full alone' \
  libvirt="$connect" domain=web1 create=monday disk=vdb
# Typed for a copy, since the guest runs.
printed 'once its guest is off, type: '
cp vdb.qcow2 old.qcow2
type_it "${printed/vdb.qcow2/old.qcow2}"
qemu-img info old.qcow2 | grep -q 'compat: 1.1' || fail "not amended"
serve libvirt="$connect" domain=web1 create=first -- '
  qemu-img convert -f raw -O raw "nbd+unix:///vdb?socket=$unixsocket" vdb.first' 2>log
for disk in vda vdb; do
  grep -q "error: disk $disk is copied whole, but checkpoint first does not record it, .*on-missing=full" \
    log || fail "it is not said that $disk will be missing: $(cat log)"
done
! grep -q 'disk vdd is copied whole, but' log || fail "$(cat log)"
cmp vdb.copy vdb.first || fail "vdb differs"
virsh checkpoint-dumpxml web1 first --no-domain >first.xml
grep -q "<disk name='vdd' checkpoint='bitmap'" first.xml || fail "$(cat first.xml)"
! grep "<disk name='vd[ab]' checkpoint='bitmap'" first.xml || fail "of all disks"
guest_write web1 vdd "write -P 5 1M 64k"
serve libvirt="$connect" domain=web1 checkpoint=first on-missing=full create=next -- '
  nbdinfo --map "nbd+unix:///vdd?socket=$unixsocket" >map
  nbdinfo --list "$uri" >list'
grep -Eq '^ *1048576 +65536 +0 +data' map || fail "$(cat map)"
for disk in vda vdb; do
  grep -q "disk $disk.*served whole" list || fail "$(cat list)"
done
virsh checkpoint-delete web1 next
virsh checkpoint-delete web1 first
lab_state web1 | diff -u before - || fail "something is left"

# Stopped: what is not read is said, with what is typed for it.
virsh checkpoint-create-as web1 monday --diskspec vda,checkpoint=no \
  --diskspec vdb,checkpoint=no --diskspec vdd
virsh destroy web1
serve libvirt="$connect" domain=web1 checkpoint=monday disk=vdd -- true 2>log
! grep -q NOT log || fail "disk= leaves out what it does not name: $(cat log)"
serve libvirt="$connect" domain=web1 checkpoint=monday -- '
  nbdinfo --list "nbd+unix:///vdd?socket=$unixsocket" >list
  ! nbdinfo --size "$uri" || exit 7' 2>log
grep -q 'no disk is chosen, and not all are served; .*start with disk=vdd; NOT in this backup: disk vda: ' \
  log || fail "one disk of three stands for all: $(cat log)"
printed ', or start with ' '; NOT' log
serve libvirt="$connect" domain=web1 checkpoint=monday "$printed" -- \
  'nbdinfo --size "$uri"'
refuses_export 'NOT in this backup: disk vdb: .*version 2' vdb \
  libvirt="$connect" domain=web1 checkpoint=monday
printed 'NOT in this backup: disk vda: it is raw, .*; ' ' serves it whole' log
serve libvirt="$connect" domain=web1 checkpoint=monday "$printed" -- '
  nbdcopy --no-extents "nbd+unix:///vda?socket=$unixsocket" vda.stopped' 2>/dev/null
cmp vda.raw vda.stopped
type_printed 'NOT in this backup: disk vdb: .*version 2.*, type: ' '' log
qemu-img info vdb.qcow2 | grep -q 'compat: 1.1' || fail "not amended"
for disk in vda vdb vdc; do
  grep -q "NOT in this backup: disk .*$disk" list || fail "$(cat list)"
done
