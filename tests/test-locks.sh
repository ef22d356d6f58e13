#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# While it is served, nobody can write to any layer of an image, a raw one at
# the bottom or one that QEMU alone can read included, and all can read; one
# that somebody may write to already is refused.
. "$(dirname "$0")/functions.sh"

mkdir tmp
export TMPDIR=$PWD/tmp

qemu-img create -q -f raw base.raw 4M
qemu-img create -q -f qcow2 -b base.raw -F raw middle.qcow2
qemu-img create -q -f qcow2 -b middle.qcow2 -F qcow2 plain.qcow2
qemu-img create -q -f qcow2 -o extended_l2=on -b middle.qcow2 -F qcow2 \
  subclusters.qcow2
qemu-img create -q -f vdi base.vdi 4M
qemu-img create -q -f qcow2 -b base.vdi -F vdi others.qcow2
for top in plain subclusters others; do
  qemu-img bitmap --add $top.qcow2 monday
done

can_write () { qemu-io -f "$2" -c 'write -q 0 64k' "$1" 2>/dev/null; }
for top in plain subclusters others; do
  layers=("$top.qcow2 qcow2" "middle.qcow2 qcow2" "base.raw raw")
  [ $top != others ] || layers=("$top.qcow2 qcow2" "base.vdi vdi")
  start_nbdkit server.sock $top.qcow2
  for layer in "${layers[@]}"; do
    # shellcheck disable=SC2086
    ! can_write $layer || fail "$top: $layer was written to"
    # shellcheck disable=SC2086
    set -- $layer
    qemu-io -r -f "$2" -c 'read -q 0 64k' "$1"
  done
  # A second server is as good.
  serve $top.qcow2 -- 'nbdinfo --size "$uri"'
  stop_nbdkit
  leaves_nothing
done

mkfifo commands
for layer in "base.raw raw" "middle.qcow2 qcow2"; do
  set -- $layer
  qemu-io -f "$2" "$1" <commands >/dev/null &
  pids+=($!)
  exec 7>commands
  # Of writing, too, there is a lock: at byte 101 of the file.
  is_open () { grep -qE ":$(stat -c %i "$1") [0-9]+ 10[1-3]$" /proc/locks; }
  wait_until 10 is_open "$1"
  refuses "backing file of .*: $PWD/$1 is in use.*; use libvirt=, qmp= or uri=" \
    plain.qcow2
  exec 7>&-
  wait "${pids[-1]}"
done
serve plain.qcow2 -- 'nbdinfo --size "$uri"'
can_write base.raw raw || fail "base.raw is still locked"
[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
