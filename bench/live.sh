#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Usage: live.sh ROUNDS PLUGIN; called by bench/run live.
# Two equal guests are written to in the same way, and backed up, one with
# this plugin, the other with virtnbdbackup, in turn.
. "${srcdir:-$(dirname "$0")/..}/tests/libvirt-lab.sh"

for file in ours.disk.qcow2 theirs.disk.qcow2; do
  qemu-img create -q -f qcow2 $file 4G
  for ((i = 0; i < 16; i++)); do
    qemu-io -t unsafe -f qcow2 -c "write -q -P $((i + 1)) $((i * 256))M 64M" \
      $file
  done
done
lab_start
guest_define ours ours.disk.qcow2
guest_define theirs theirs.disk.qcow2
guest_start ours
guest_start theirs
lab_logs () { :; }              # what live.py says is enough
/usr/bin/python3 "$srcdir/bench/live.py" "$1" "$2" "$connect"
