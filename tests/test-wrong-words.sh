#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# What people forget to name, or name twice, is recognised; and what is then
# printed works.
. "$(dirname "$0")/functions.sh"

qemu-img create -q -f qcow2 disk.qcow2 1M
qemu-img bitmap --add disk.qcow2 monday
qemu-img bitmap --add disk.qcow2 "it's new"
qemu-img create -q -f qcow2 odd.qcow2 1M
qemu-img bitmap --add odd.qcow2 "backup-it's"
qemu-nbd -f qcow2 -r -t -k "$PWD/q.sock" -B monday disk.qcow2 &
pids+=($!)
wait_until 10 listens q.sock

refuses "is the address of a server, not a file; write uri='nbd.unix:" \
  "nbd+unix:///?socket=$PWD/q.sock"
eval "serve $(sed -n 's/.*; write //p' refused.log) checkpoint=monday -- true"
refuses 'is the address of a server, .*; write uri=nbd://localhost:1$' \
  nbd://localhost:1
refuses 'is the address of a libvirt, .*; write libvirt=qemu:///system$' \
  qemu:///system
refuses 'there is no file monday; if it is a checkpoint, write checkpoint=monday$' \
  disk.qcow2 monday
eval "serve disk.qcow2 $(sed -n 's/.*, write //p' refused.log) -- true"
serve disk.qcow2 bitmap=monday -- true
serve disk.qcow2 bitmap="it's new" -- true
# Files that may seem to be a disk's, or are called otherwise than the document says.
for name in vda:none 'vda:not one'; do
  cp disk.qcow2 "$name"
  refuses "means disk vda in no.*, which does not exist; for the file $name write file=" \
    "$name"
  printed '; for the file .* write '
  eval "serve $printed checkpoint=monday -- true"
done
cat >two.xml <<END
<domaincheckpoint><name>monday</name><creationTime>1</creationTime><disks>
  <disk name='sda'/><disk name='sdb'/></disks></domaincheckpoint>
END
cp disk.qcow2 'a disk.qcow2'
refuses 'which disk of the tree.*sda, sdb; write file=TARGET:' \
  'a disk.qcow2' tree=two.xml
printed '; write '
eval "serve ${printed/TARGET/sda} tree=two.xml -- true"
# What a server offers may be called anything.
qemu-nbd -f qcow2 -r -t -k "$PWD/odd.sock" -B "backup-it's" odd.qcow2 &
pids+=($!)
wait_until 10 listens odd.sock
refuses 'does not offer bitmap monday, but backup-.*; if the job was begun since monday, add bitmap=' \
  uri="nbd+unix:///?socket=$PWD/odd.sock" checkpoint=monday
printed 'since monday, add '
eval "serve uri='nbd+unix:///?socket=$PWD/odd.sock' checkpoint=monday $printed -- true"
# A file may be called so.
cp disk.qcow2 monday
serve file=vda:disk.qcow2 monday -- true
ln -s disk.qcow2 link.qcow2
refuses 'is given twice .*disk.qcow2 is the same file' \
  vda:disk.qcow2 vdb:link.qcow2
name=$(id -un)
[ "$(id -u)" -eq 0 ] || name="user $name"
refuses "No such file or directory; check the path, and that $name may read it" \
  missing.qcow2
refuses "No such file or directory; check the path, and that $name may read it" \
  disk.qcow2 tree=missing
nbdkit --dump-plugin "$plugin" | grep '^checkpoint_' >dump
! grep , dump || fail "two kinds of lists"
grep -q '^checkpoint_views=overlay sparse guard$' dump
