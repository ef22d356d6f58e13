#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Usage: live.sh ROUNDS PLUGIN; called by bench/run live.
# Equal guests are written to in the same way, and backed up in turn, two with
# this plugin, one with virtnbdbackup.
. "${srcdir:-$(dirname "$0")/..}/tests/libvirt-lab.sh"

guests="convert nbdcopy theirs"
for guest in $guests; do
  file=$guest.disk.qcow2
  qemu-img create -q -f qcow2 $file 4G
  for ((i = 0; i < 16; i++)); do
    qemu-io -t unsafe -f qcow2 -c "write -q -P $((i + 1)) $((i * 256))M 64M" \
      $file
  done
done
lab_start
for guest in $guests; do
  guest_define $guest $guest.disk.qcow2
  guest_start $guest
done
lab_logs () { :; }              # what live.py says is enough
/usr/bin/python3 "$srcdir/bench/live.py" "$1" "$2" "$connect"
