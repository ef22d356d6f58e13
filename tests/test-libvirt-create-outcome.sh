#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# After a backup that failed, "qemu-checkpoint info" tells scripts whether the new
# checkpoint exists: at libvirt.  The manual's script that does so.
. "$(dirname "$0")/libvirt-lab.sh"
. "$srcdir/tests/create-outcome.sh"

lab_with_guest
outcomes --libvirt="$connect" --domain=web1
virsh checkpoint-delete web1 tuesday

# The manual's script, made backup by backup.
checkpoint_delete web1 monday
checkpoint_make web1 sunday
qemu-img convert -U -O qcow2 vda.qcow2 sunday.qcow2
guest_write web1 vda "write -P 2 1M 64k"
awk '$0 == "=for test outcome" { on = 1; next }  on && /^ / { print; seen = 1 }
     seen && /^[^ ]/ { exit }' "$srcdir/docs/nbdkit-checkpoint-plugin.pod" \
  | sed "s,qemu:///system,$connect," >script
grep -q 'qemu-checkpoint info' script || fail "the manual has no such script"
# ends STATUS CHECKPOINTS: and these are there then.
ends ()
{
  local status=0
  type_it "$(cat script)" || status=$?
  [ $status -eq "$1" ] || fail "the script ended with $status, not $1"
  [ "$(checkpoint_names web1 | xargs)" = "$2" ] \
    || fail "there are: $(checkpoint_names web1 | xargs)"
}
mkdir monday.qcow2.new          # where nothing can be written
ends 1 sunday
rmdir monday.qcow2.new
ends 0 "monday sunday"
qemu-img compare -U -f qcow2 -F qcow2 monday.qcow2 vda.qcow2
# That backup's checkpoint is not taken for one of a run that failed.
ends 2 "monday sunday"

lab_kill
outcome 2
