#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A real Linux that writes to ext4 on two disks without pause: a full backup
# and four increments in a chain, by qemu-img and by nbdcopy, of both disks at
# once.  Each image is what the backup point held, with a sound file system.
. "$(dirname "$0")/libvirt-lab.sh"

lab_start
guest_boot web1 vda.qcow2 vdb.qcow2
uri () { echo "nbd+unix:///$1?socket=$tmpdir/n.sock"; }
wrote_more () { [ "$(guest_rounds web1)" -gt "$1" ]; }

# check_image DISK IMAGE: the same as QEMU's own export, and a sound file
# system once its journal is replayed, as after a power cut.
check_image ()
{
  full_copy_of_job web1 "$1" truth.raw
  qemu-img compare -f raw -F qcow2 truth.raw "$2" \
    || fail "$2 is not what the backup point held"
  qemu-img convert -O raw "$2" restored.raw
  e2fsck -fp restored.raw >fsck.log 2>&1 || [ $? -eq 1 ] \
    || { cat fsck.log; fail "the journal in $2 cannot be replayed"; }
  e2fsck -fn restored.raw >fsck.log 2>&1 \
    || { cat fsck.log; fail "the file system in $2 is not sound"; }
}

# copy TOOL DISK POINT [SINCE]
copy ()
{
  local image=$2.$3.qcow2 previous=${4:+$2.$4.qcow2}
  case $1 in
    qemu-img)
      qemu-img convert -f raw -O qcow2 ${previous:+-B "$previous" -F qcow2} \
        "$(uri "$2")" "$image" ;;
    nbdcopy)
      qemu-img create -q -f qcow2 -b "$previous" -F qcow2 "$image"
      nbdcopy --destination-is-zero -S 0 --request-size=65536 -- \
        "$(uri "$2")" [ qemu-nbd -f qcow2 "$image" ] ;;
  esac
}

# back_up TOOL POINT [SINCE]: both disks at once.
back_up ()
{
  local tool=$1 view=overlay rounds copies=() pid
  shift
  [ "$tool" = qemu-img ] || view=sparse
  start_nbdkit n.sock libvirt="$connect" domain=web1 view=$view create="$1" \
    ${2:+checkpoint="$2"}
  rounds=$(guest_rounds web1)
  for disk in vda vdb; do
    copy "$tool" $disk "$@" &
    copies+=($!)
  done
  for pid in "${copies[@]}"; do
    wait "$pid" || fail "$tool failed"
  done
  wait_until 60 wrote_more "$rounds"
  check_image vda "vda.$1.qcow2"
  check_image vdb "vdb.$1.qcow2"
  stop_nbdkit
  no_job web1 || fail "a job is left"
  # Much is written before the next.
  wait_until 60 wrote_more $(($(guest_rounds web1) + 4))
}

back_up qemu-img sunday
back_up qemu-img monday sunday
back_up nbdcopy tuesday monday
back_up qemu-img wednesday tuesday
back_up nbdcopy thursday wednesday
! ls -d ./*.scratch 2>/dev/null || fail "a scratch file is left"
[ "$(virsh checkpoint-list web1 --name | grep -c .)" -eq 5 ] \
  || fail "other checkpoints"

ls -s vd?.*.qcow2
qemu-img info vda.thursday.qcow2 | grep 'backing file: vda.wednesday.qcow2'
