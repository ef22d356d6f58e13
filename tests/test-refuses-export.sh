#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A client that asks for an export, a disk, a checkpoint or a part that does
# not exist is refused with the names that do; the server goes on.
. "$(dirname "$0")/functions.sh"

mkdir tmp
export TMPDIR=$PWD/tmp

guest_disk base.qcow2
qemu-img bitmap --add base.qcow2 monday
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
qemu-img bitmap --add disk.qcow2 tuesday
start_nbdkit server.sock file=vda:disk.qcow2 checkpoint=tuesday

# refused EXPORT REGEX: one line in the log says why.
refused ()
{
  : >nbdkit.log
  ! nbdsh -c "h.set_export_name('''$1''')" \
    -c 'h.connect_unix("server.sock")' 2>client.log \
    || fail "export $1 was opened"
  grep 'error:' nbdkit.log
  [ "$(grep -c 'error:' nbdkit.log)" -eq 1 ] || fail "not one line for $1"
  grep -Eq -- "$2" nbdkit.log || fail "no '$2' for $1"
}
refused vdb 'no disk vdb; disks are: vda'
refused VDA 'no disk VDA; disks are: vda'
refused vdb@monday 'no disk vdb; disks are: vda'
refused monday 'no disk monday; disks are: vda'
refused vda/x 'no disk vda/x; disks are: vda'
refused vda/1 'export vda/1: there is 1 part, counted from 0'
refused @tuesday "no disk .*; disks are: vda"
refused vda@/1 'export vda@/1: there is 1 part, counted from 0'
refused vda@mondy 'no checkpoint mondy; known are: monday, tuesday'
refused vda@tuesday/ 'no checkpoint tuesday/; known are: tuesday, '
refused vda@tuesday@monday 'no checkpoint tuesday@monday; known are: '
refused vda@mondy/0 'no checkpoint mondy; known are: monday, tuesday'
# Parts.
refused vda@tuesday/1 'vda@tuesday/1.* 1 part'
refused vda@monday/2 'vda@monday/2.* 2 parts, counted from 0'
refused vda@monday/9999 'vda@monday/9999.* 2 parts, counted from 0'
refused vda@monday/-1 'no checkpoint monday/-1; known are: monday'
refused vda@monday/00 'no checkpoint monday/00; known are: monday'
refused vda@monday/4294967296 'no checkpoint monday/4294967296; known are: '
# Complete only with its other part.
refused vda@monday "disk.qcow2 .*$PWD/base.qcow2 .*--filter=bitmap-merge"
# Long, and with what is no text.
refused "vda@$(printf '%04000d' 0)" 'no checkpoint 0000'
refused 'vda@\x1b[31m' 'no checkpoint'
! grep -q $'\x1b' nbdkit.log || fail "a control character is in the log"

for name in "" vda vda@ vda@/0 vda@tuesday vda@tuesday/0 vda@monday/0 vda@monday/1; do
  nbdinfo --size "nbd+unix:///$name?socket=$PWD/server.sock" >size
  grep -qx 67108864 size || fail "export '$name' is not served"
done
stop_nbdkit
leaves_nothing
[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
