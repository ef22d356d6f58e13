#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Disks share a backing image, and with it a record.  What qemu-checkpoint check
# prints against one disk takes nothing from another's: neither its part of a
# record, nor the sign that a part was lost.
. "$(dirname "$0")/functions.sh"

qio () { qemu-io -f qcow2 -c "write -q -P $3 $2M 64k" "$1"; }
# start: vda and vdb on one base; all have the bitmap c.
start ()
{
  rm -f ./*.qcow2
  guest_disk base.qcow2 16M
  qemu-img bitmap --add base.qcow2 c
  qio base.qcow2 1 5
  for disk in vda vdb; do
    qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 $disk.qcow2
    qemu-img bitmap --add $disk.qcow2 c
  done
  qio vda.qcow2 3 6
  qio vdb.qcow2 2 6
}
both=(--file=vda:vda.qcow2 --file=vdb:vdb.qcow2)
# spoil IMG: its bitmaps are left inconsistent.
spoil ()
{
  qemu-io -f qcow2 -c 'write -q 4M 64k' -c 'sigraise 9' "$1" || :
}
# is_right CHECKPOINT: vdb since it is refused, or has both blocks.
is_right ()
{
  local size
  size=$("$tool" list --size --json --file=vdb:vdb.qcow2 \
    | jq --arg name "$1" '.checkpoints[] | select(.name == $name).size')
  [ "${size:-null}" = null ] || [ "$size" -ge 131072 ] \
    || fail "vdb since $1 has $size bytes only"
  echo "vdb since $1: $size"
}
# commands: those that check prints, one a line.
commands ()
{
  { "$tool" check --json "${both[@]}" || :; } | jq -r '.findings[].command // empty'
}

# ── One disk's record is inconsistent ──
start
spoil vda.qcow2
commands >typed
cat typed
[ -s typed ] || fail "nothing is typed"
! grep -q base.qcow2 typed || fail "the other disk's base is changed"
"$tool" check --fix --yes "${both[@]}" || [ $? -lt 3 ]
is_right c

# Of one alone, nobody knows who else has the base: what is whole there is not
# removed unasked.
start
spoil vda.qcow2
"$tool" check --fix --yes --file=vda:vda.qcow2 2>log || [ $? -lt 3 ]
"$tool" list --size --json --file=vdb:vdb.qcow2 \
  | jq -e '.checkpoints[0].size == 131072' || { cat log; fail "base is changed"; }

# ── The shared part was lost ──
start
printf '\0' | dd of=base.qcow2 bs=1 seek=95 conv=notrunc status=none
commands | head -n 1 >typed
cat typed
sh -eux typed || fail "cannot be typed"
is_right c
start
printf '\0' | dd of=base.qcow2 bs=1 seek=95 conv=notrunc status=none
"$tool" check --fix --yes --file=vda:vda.qcow2 2>log || [ $? -lt 3 ]
is_right c
