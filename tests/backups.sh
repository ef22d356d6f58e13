# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced by tests of qemu-checkpoint check: backups of the guest web1, by nbdkit's
# plugin.

# full_backup TARGET CHECKPOINT: TARGET.full, with a new checkpoint of all disks,
# which is made if it is not there.
full_backup ()
{
  virsh checkpoint-create-as web1 "$2"
  rm -f "$1.full"
  disk=$1 serve libvirt="$connect" domain=web1 checkpoint="$2" disk="$1" -- '
    qemu-img convert -f raw -O qcow2 "nbd+unix:///$disk@?socket=$unixsocket" \
      "$disk.full"'
}

# same_disk FILE RAW
same_disk ()
{
  qemu-img compare -f qcow2 -F raw "$1" "$2" || fail "$1 is not the disk"
}

# incremental_backup TARGET CHECKPOINT: since it, upon TARGET.full, has every byte
# that the disk has, as QEMU itself tells it; and is no full one.
incremental_backup ()
{
  local state
  rm -f "$1.inc" "$1.raw"
  start_nbdkit inc.sock libvirt="$connect" domain=web1 checkpoint="$2" disk="$1"
  qemu-img convert -f raw -B "$1.full" -F qcow2 -O qcow2 \
    "nbd+unix:///?socket=$PWD/inc.sock" "$1.inc"
  state=$(virsh domstate web1 | head -n 1)
  if [ "$state" = "shut off" ]; then
    qemu-img convert -U -f qcow2 -O raw "$(virsh domblklist web1 \
      | awk -v target="$1" '$1 == target { print $2 }')" "$1.raw"
  else
    full_copy_of_job web1 "$1" "$1.raw"
  fi
  stop_nbdkit
  same_disk "$1.inc" "$1.raw"
  [ "$(stat -c %b "$1.inc")" -lt "$(stat -c %b "$1.full")" ] \
    || fail "it is no incremental one"
}
