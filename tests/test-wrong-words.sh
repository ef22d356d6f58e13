#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# What people forget to name, or name twice, is recognised; and what is then
# printed works.
. "$(dirname "$0")/functions.sh"

qemu-img create -q -f qcow2 disk.qcow2 1M
qemu-img bitmap --add disk.qcow2 monday
qemu-nbd -f qcow2 -r -t -k "$PWD/q.sock" -B monday disk.qcow2 &
pids+=($!)
wait_until 10 test -S q.sock

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
