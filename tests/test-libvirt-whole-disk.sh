#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A running guest's job shows the delta and the whole disk of one instant, while
# the guest goes on: the backup is compared with it in the same run.
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk vda.qcow2 32M
lab_start
guest_define web1 vda.qcow2
guest_start web1
guest_write web1 vda "write -P 1 0 5M"
guest_write web1 vda "write -P 2 20M 64k"
serve libvirt="$connect" domain=web1 create=monday -- '
  nbdinfo --list "$uri" >list
  qemu-img convert -f raw -O qcow2 "nbd+unix:///vda@?socket=$unixsocket" monday.qcow2'
grep -q 'description: the whole disk vda, as it was when the backup began' list \
  || fail "$(cat list)"
guest_write web1 vda "write -P 3 1M 64k"
guest_write web1 vda "write -z 2M 64k"

start_nbdkit n.sock libvirt="$connect" domain=web1 checkpoint=monday create=tuesday
whole="nbd+unix:///vda@?socket=$PWD/n.sock"
# What the guest writes now is in neither.
guest_write web1 vda "write -P 4 1M 64k"
guest_write web1 vda "write -P 5 25M 64k"
qemu-img convert -f raw -O qcow2 -B monday.qcow2 -F qcow2 \
  "nbd+unix:///vda?socket=$PWD/n.sock" tuesday.qcow2
qemu-img compare -f raw -F qcow2 "$whole" tuesday.qcow2 \
  || fail "the backup is not what the disk was"
qemu-io -f qcow2 -c 'write -q -P 9 20M 512' tuesday.qcow2
! qemu-img compare -f raw -F qcow2 "$whole" tuesday.qcow2 \
  || fail "a wrong backup compares equal"
nbdinfo --map --totals "$whole" >totals
grep -q 'hole,zero' totals || fail "not its own holes: $(cat totals)"
stop_nbdkit
