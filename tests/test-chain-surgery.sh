#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Layers that were merged by hand take a part of the record with them, and the
# images do not show it.  Where a document names a file that is not in the chain
# any more, there is a warning.  libvirt's own jobs merge bitmaps, too: no refusal.
. "$(dirname "$0")/libvirt-lab.sh"

# chain: base ← mid (bitmap m, and written since) ← top (m, too).
chain ()
{
  rm -f ./*.qcow2
  qemu-img create -q -f qcow2 base.qcow2 16M
  qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 mid.qcow2
  qemu-img bitmap --add mid.qcow2 m
  qemu-io -f qcow2 -c 'write -q -P 2 2M 64k' mid.qcow2
  qemu-img create -q -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2
  qemu-img bitmap --add top.qcow2 m
  qemu-io -f qcow2 -c 'write -q -P 3 3M 64k' top.qcow2
}
mkdir tree
cat >tree/m.xml <<END
<domaincheckpoint><name>m</name><creationTime>1700000000</creationTime>
  <disks><disk name='vda' checkpoint='bitmap' bitmap='m'/></disks>
  <domain type='qemu'><name>web1</name><devices><disk type='file'>
    <source file='$PWD/mid.qcow2'/><target dev='vda'/></disk></devices></domain>
</domaincheckpoint>
END

# warns IMAGE, is_silent IMAGE: at the start, with the document.
start () { serve "vda:$PWD/$1" tree=tree checkpoint=m -- true 2>log; cat log; }
warns ()
{
  start "$1"
  grep -q "error: disk vda: checkpoint m names $PWD/mid.qcow2, which is not in its chain any more.*full backup" \
    log || fail "no warning: $2"
}
chain
start top.qcow2
! grep -q 'not in its chain' log || fail "a false warning"
qemu-img commit -q mid.qcow2
qemu-img rebase -u -b base.qcow2 -F qcow2 top.qcow2
warns top.qcow2 commit
chain
qemu-img rebase -b base.qcow2 -F qcow2 top.qcow2
warns top.qcow2 rebase
chain
qemu-img rebase -b '' top.qcow2
warns top.qcow2 flatten
chain
qemu-img convert -O qcow2 --bitmaps top.qcow2 copy.qcow2
warns copy.qcow2 convert

# A guest of libvirt's: by hand, and by libvirt's jobs.
lab_start
rm -f ./*.qcow2
guest_disk mid.qcow2 16M
guest_define web1 mid.qcow2
guest_start web1
virsh checkpoint-create-as web1 m
guest_write web1 vda 'write -P 2 10M 64k'
virsh snapshot-create-as web1 snap --disk-only --no-metadata \
  --diskspec "vda,file=$tmpdir/top.qcow2"
guest_write web1 vda 'write -P 3 11M 64k'
dirty ()
{
  serve libvirt="$connect" domain=web1 checkpoint=m view=sparse -- \
    'nbdinfo --map --json "$uri"' 2>log \
    | jq -c '[.[] | select(.type == 0) | .offset / 1048576]'
}
virsh blockpull web1 vda --wait >/dev/null
[ "$(dirty)" = '[10,11]' ] || fail "after blockpull: $(dirty)"
grep -q "error: disk vda: checkpoint m names $PWD/mid.qcow2" log \
  || fail "no warning after blockpull"
guest_destroy web1
[ "$(dirty)" = '[10,11]' ] || fail "stopped, after blockpull: $(dirty)"
grep -q "names $PWD/mid.qcow2, which is not in its chain" log \
  || fail "no warning of a stopped guest"
