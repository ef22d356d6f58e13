#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# An image that changes between our reading of its header and QEMU's lock is
# refused: what lies below it may be another now.
. "$(dirname "$0")/functions.sh"

mkdir tmp
export TMPDIR=$PWD/tmp
for name in base other; do guest_disk $name.qcow2; done
qemu-img create -q -f qcow2 -b "$PWD/base.qcow2" -F qcow2 disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
cp disk.qcow2 spare.qcow2
touch -d '1 hour ago' disk.qcow2

# A storage daemon that lets us change something before it looks.
make_slow_daemon

PATH=$slowly change=: serve disk.qcow2 -- 'nbdinfo --size "$uri"'

changed="$PWD/disk.qcow2 changed while it was being opened; ."
PATH=$slowly change='touch disk.qcow2' refuses "$changed" disk.qcow2
# QEMU's programs are kept out by our lock.
qemu-img rebase -u -f qcow2 -b "$PWD/other.qcow2" -F qcow2 spare.qcow2
PATH=$slowly change='
  ! qemu-img rebase -u -f qcow2 -b "$PWD/other.qcow2" -F qcow2 disk.qcow2 \
    2>/dev/null && touch kept-out' serve disk.qcow2 -- 'nbdinfo --size "$uri"'
[ -e kept-out ] || fail "qemu-img was let in"
# In place, and with its old time, as on a block device.
PATH=$slowly change='
  touch -r disk.qcow2 time
  cat spare.qcow2 >disk.qcow2
  touch -r time disk.qcow2' refuses "$changed" disk.qcow2
# Another file.
PATH=$slowly change='touch -r disk.qcow2 spare.qcow2; mv spare.qcow2 disk.qcow2' \
  refuses "$changed" disk.qcow2
# One below.
PATH=$slowly change='touch other.qcow2' \
  refuses "$PWD/disk.qcow2: .*other.qcow2 changed while .*; ." disk.qcow2
PATH=$slowly change='rm disk.qcow2' \
  refuses "$PWD/disk.qcow2.*No such file or directory" disk.qcow2
[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
