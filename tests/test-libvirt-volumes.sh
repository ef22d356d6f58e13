#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A stopped guest whose disks are volumes of libvirt's pools: libvirt tells where
# they lie.  A pool that is not active and a volume that is gone are refused with
# the commands that help.
LAB_ROOT_ONLY=1                 # a session daemon has no pools here
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk vda.qcow2
guest_disk vdb.qcow2
lab_start
mkdir pool
mv vda.qcow2 vdb.qcow2 pool
cat >pool.xml <<END
<pool type='dir'><name>p 1</name><target><path>$PWD/pool</path></target></pool>
END
virsh pool-define pool.xml
virsh pool-start 'p 1'

# as_volumes VDA VDB: the guest web1, with these volumes of the pool.
as_volumes ()
{
  sed "s,<name>,<uuid>$(virsh domuuid web1)</uuid>&,
    s,type='file' device,type='volume' device,
    s,<source file='[^']*/vda.qcow2'/>,<source pool='p 1' volume='$1'/>,
    s,<source file='[^']*/vdb.qcow2'/>,<source pool='p 1' volume='$2'/>," \
    lab/web1.xml >web1.xml
  virsh define web1.xml
}
guest_define web1 vda.qcow2 vdb.qcow2
as_volumes vda.qcow2 vdb.qcow2
guest_start web1
virsh checkpoint-create-as web1 monday
qemu-img convert -U -O qcow2 pool/vda.qcow2 full.qcow2
guest_write web1 vda "write -P 2 1M 192k"
guest_write web1 vda "write -z 5M 64k"
guest_write web1 vdb "write -P 3 2M 64k"

# increment: increment.qcow2, with the blocks that were written since monday.
increment ()
{
  serve libvirt="$connect" domain=web1 checkpoint=monday scratch-dir="$PWD" -- '
    qemu-img convert -f raw -O qcow2 -B full.qcow2 -F qcow2 \
      "nbd+unix:///vda?socket=$unixsocket" increment.qcow2' 2>log
  cat log
  ! grep 'not in its chain' log || fail "a false alarm"
  allocated increment.qcow2 | diff -u want -
}
is_same () { qemu-img compare -f qcow2 -F qcow2 pool/vda.qcow2 increment.qcow2; }
printf '1048576 196608\n5242880 65536\n' >want
increment
guest_destroy web1
is_same
lab_state web1 >state
md5sum pool/*.qcow2 >before
increment
is_same
qemu_dirty pool/vda.qcow2 monday | diff -u want - || fail "not what is recorded"
serve libvirt="$connect" domain=web1 -- 'nbdinfo --list "$uri"' >list 2>log
grep 'export="vdb@monday"' list || fail "no vdb: $(cat list log)"
md5sum -c --quiet before || fail "an image was changed"
lab_state web1 | diff -u state - || fail "something is left"

# Exchanged: the documents name them by pool and volume only.
as_volumes vdb.qcow2 vda.qcow2
refuses 'vda is not the disk that it was at checkpoint monday: its .*vdb.qcow2 was vdb then' \
  libvirt="$connect" domain=web1 checkpoint=monday disk=vda
as_volumes vda.qcow2 vdb.qcow2

# Without its pool.
virsh pool-destroy 'p 1'
refuses "disk vda cannot be served: volume p 1/vda.qcow2: its pool p 1 is not active; to start it, type: virsh .*pool-start 'p 1'\$" \
  libvirt="$connect" domain=web1 checkpoint=monday disk=vda
refuses 'none of its disks can be read; the first, vd[ab]: .*pool p 1 is not active' \
  libvirt="$connect" domain=web1 checkpoint=monday
(unset -f virsh; type_printed 'is not active; to start it, type: ')
increment
is_same

# One is gone: the other is served.
mv pool/vdb.qcow2 .
for refreshed in no yes; do
  [ $refreshed = no ] || virsh pool-refresh 'p 1'
  refuses "disk vdb cannot be served: volume p 1/vdb.qcow2: .*; to have libvirt look again, and see what there is, type: virsh .*pool-refresh 'p 1' && virsh .*vol-list 'p 1'\$" \
    libvirt="$connect" domain=web1 checkpoint=monday disk=vdb
done
mv vdb.qcow2 pool
(unset -f virsh; type_printed 'see what there is, type: ') | grep vdb.qcow2
serve libvirt="$connect" domain=web1 checkpoint=monday -- \
  'nbdinfo "nbd+unix:///vdb?socket=$unixsocket"' >/dev/null
mv pool/vdb.qcow2 .
virsh pool-refresh 'p 1'
increment
grep 'disk vdb: .*pool-refresh' log || fail "vdb is left out in silence"

# A pool that there never was.
sed "s/pool='p 1'/pool='none'/" web1.xml >none.xml
virsh define none.xml
refuses 'volume none/vda.qcow2: its pool none: .*; to see which there are, type: virsh .*pool-list --all' \
  libvirt="$connect" domain=web1
