#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The cookbook's recipes that restore a guest, a disk, a file.
. "$(dirname "$0")/cookbook.sh"
requires nbdfuse
requires fusermount3

# A partition with a file system of which two files are known.
partitioned_disk web1
guest_disk $images/web1-data.qcow2 16M
lab_start
guest_define web1 $images/web1.qcow2 $images/web1-data.qcow2
virsh dumpxml --inactive --security-info web1 >web1.xml
guest_start web1
virsh checkpoint-create-as web1 monday
qemu-img convert -U -O qcow2 $images/web1.qcow2 vda-monday.qcow2
qemu-img convert -U -O qcow2 $images/web1-data.qcow2 vdb-monday.qcow2
writes vdb "write -P 2 1M 64k"
virsh checkpoint-create-as web1 tuesday
now web1 web1-data
mv "$tmpdir/web1.now" "$tmpdir/vda.tuesday"
mv "$tmpdir/web1-data.now" "$tmpdir/vdb.tuesday"
while read -r disk file; do
  qemu-img convert -U -O qcow2 -B "$disk-monday.qcow2" -F qcow2 \
    "$images/$file.qcow2" "$disk-tuesday.qcow2"
done <<<$'vda web1\nvdb web1-data'
# What came later is not in them.
writes vda "write -P 3 0 1M"
writes vdb "write -P 3 4M 64k"
md5sum ./*.qcow2 >"$tmpdir/backups"

recipe restore-file
cmp hosts "$tmpdir/content/etc/hosts" || fail "another file"
recipe restore-mount
diff -r etc "$tmpdir/content/etc" || fail "other files"
md5sum --quiet -c "$tmpdir/backups"

# The disk that broke.
guest_quit web1
writes_off () { qemu-io -f qcow2 -c "$2" "$1" >/dev/null; }
echo kept >$images/web1-data.broken
now web1-data
recipe_status=1 recipe restore-disk
same_as "$tmpdir/web1-data.now" $images/web1-data.qcow2
grep -qx kept $images/web1-data.broken
rm $images/web1-data.broken
recipe restore-disk
same_as "$tmpdir/vdb.tuesday" $images/web1-data.qcow2
[ -s $images/web1-data.broken ] || fail "the broken disk is gone"
writes_off $images/web1.qcow2 'write -P 4 2M 64k'
writes_off $images/web1-data.qcow2 'write -P 5 6M 64k'
now web1 web1-data
# The guest has no system to boot, and writes nothing.
recipe restore-disk-next
same_as "$tmpdir/web1.now" vda-wednesday.qcow2
same_as "$tmpdir/web1-data.now" vdb-wednesday.qcow2
increment vda-wednesday.qcow2 "0 1048576 2097152 65536"
grep -q 'disk vdb is served whole' "$tmpdir/said"
serve libvirt=qemu:///system domain=web1 checkpoint=wednesday -- \
  'nbdinfo --list "$uri"' | grep 'export="vdb@wednesday"'

# The machine that lost it.
virsh destroy web1
virsh undefine web1 --checkpoints-metadata
md5sum $images/* >"$tmpdir/there"
for left in web1 web1-data; do
  recipe_status=1 recipe restore-guest
  md5sum --quiet -c "$tmpdir/there"
  [ -z "$(virsh list --all --name | xargs)" ] || fail "the guest is defined"
  rm $images/$left.qcow2
  sed -i "/$left.qcow2/d" "$tmpdir/there"
done
[ "$(ls $images)" = web1-data.broken ] || fail "left: $(ls $images)"
recipe restore-guest
guest_runs web1
virsh destroy web1
same_as "$tmpdir/vda.tuesday" $images/web1.qcow2
same_as "$tmpdir/vdb.tuesday" $images/web1-data.qcow2
