#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Where locks do not reach (NFS without them, another host), an image that a guest
# runs from looks like one that was not saved; a command that changes it would
# destroy it.  So none is printed without saying so.
. "$(dirname "$0")/functions.sh"

# warned WORDS IMAGE ARGUMENTS…: the refusal says when COMMAND does no harm.
warned ()
{
  refuses "$1.*, if no guest on any host has it open .*, type: $2" "${@:3}"
}

qemu-img create -q -f qcow2 disk.qcow2 1M
qemu-img bitmap --add disk.qcow2 monday

# A guest's disk, as far as the image can tell.
qemu-storage-daemon --pidfile qsd.pid --blockdev \
  driver=qcow2,node-name=d,file.driver=file,file.filename=disk.qcow2,file.locking=off \
  --nbd-server addr.type=unix,addr.path=qsd.sock \
  --export type=nbd,id=d,node-name=d,writable=on &
pids+=($!)
wait_until 10 listens qsd.sock
nbdsh -u 'nbd+unix:///d?socket=qsd.sock' -c 'h.pwrite(b"x" * 512, 0)'
warned "disk vda: bitmap monday in $PWD/disk.qcow2 is inconsistent .in-use.: a guest is running from it, or .*; if a guest runs, use libvirt= or qmp=; if not, make a full backup" \
  "qemu-img bitmap --remove $PWD/disk.qcow2 monday$" disk.qcow2
kill "${pids[-1]}"
wait "${pids[-1]}" || :
rm -f qsd.sock
serve disk.qcow2 checkpoint=monday -- true

# The others; with names that a shell would part.
mkdir 'a b'
cd 'a b'
qemu-img create -q -f qcow2 -o compat=0.10 v2.qcow2 1M
warned "qcow2 version 2" "qemu-img amend .* '$PWD/v2.qcow2'$" v2.qcow2
type_printed ', type: '
qemu-img info v2.qcow2 | grep -q 'compat: 1.1' || fail "not amended"
cp ../disk.qcow2 corrupt.qcow2
printf '\2' | dd of=corrupt.qcow2 bs=1 seek=79 conv=notrunc status=none
warned "marked corrupt" "qemu-img check -r all '$PWD/corrupt.qcow2'$" \
  corrupt.qcow2
type_printed ', type: '
serve corrupt.qcow2 -- true
qemu-img create -q -f qcow2 -b ../disk.qcow2 -F qcow2 top.qcow2
qemu-img create -q -f qcow2 -b ../disk.qcow2 -F qcow2 noformat.qcow2
forget_format noformat.qcow2
warned "does not record the format" \
  "qemu-img rebase -u -f qcow2 -b ../disk.qcow2 -F FORMAT '$PWD/noformat.qcow2'$" \
  noformat.qcow2
printed ', type: '
type_it "${printed/FORMAT/qcow2}"
qemu-img bitmap --add noformat.qcow2 monday
nbdkit_options=(--filter="$filter")
serve noformat.qcow2 -- true
nbdkit_options=()
qemu-img create -q -f qcow2 -b ../disk.qcow2 -F qcow2 top.qcow2
qemu-img create -q -f qcow2 -b top.qcow2 -F qcow2 loop.qcow2
qemu-img rebase -u -f qcow2 -b loop.qcow2 -F qcow2 top.qcow2
warned "comes back to" "qemu-img rebase -u .*IMAGE$" loop.qcow2
