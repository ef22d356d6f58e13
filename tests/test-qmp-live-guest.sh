#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A bare QEMU, without libvirt, and a real Linux that writes to ext4 on two disks
# without pause: a full backup and three increments of both, by qemu-img and by
# nbdcopy, each compared with the whole disks of the same instant in the same run, while
# the guest goes on.  Each can be restored, with a sound file system.  Then a snapshot is
# taken in between, which has no bitmap.
. "$(dirname "$0")/qmp-lab.sh"

guest_iothread=virtio guest_boot web1 vda.qcow2 vdb.qcow2
source_of web1
lab_state web1 >before
wrote_more () { [ "$(guest_rounds web1)" -gt "$1" ]; }
export tmpdir test_name

# In the run: both disks at once, and then each compared with what it was.
declare -f guest_rounds wrote_more wait_until fail >in-run.sh
cat >>in-run.sh <<'END'
set -eu
uri () { echo "nbd+unix:///$1?socket=$unixsocket"; }
copy ()
{
  local image=$1.$point.qcow2 previous=${since:+$1.$since.qcow2}
  case $how in
    full) qemu-img convert -f raw -O qcow2 "$(uri "$1@")" "$image" ;;
    qemu-img)
      qemu-img convert -f raw -O qcow2 -B "$previous" -F qcow2 "$(uri "$1")" "$image" ;;
    nbdcopy)
      qemu-img create -q -f qcow2 -b "$previous" -F qcow2 "$image"
      nbdcopy --destination-is-zero -S 0 --request-size=65536 -- \
        "$(uri "$1")" [ qemu-nbd -f qcow2 "$image" ] ;;
  esac
}
copy vda &
copy vdb
wait $!
wait_until 60 wrote_more "$(guest_rounds web1)"
for disk in vda vdb; do
  qemu-img compare -f raw -F qcow2 "$(uri "$disk@")" $disk.$point.qcow2
done
END

# check_restored DISK POINT
check_restored ()
{
  qemu-img convert -O raw "$1.$2.qcow2" restored.raw
  e2fsck -fp restored.raw >fsck.log 2>&1 || [ $? -eq 1 ] \
    || { cat fsck.log; fail "the journal in $1.$2 cannot be replayed"; }
  e2fsck -fn restored.raw >fsck.log 2>&1 \
    || { cat fsck.log; fail "the file system in $1.$2 is not sound"; }
}

# back_up HOW POINT [SINCE]
back_up ()
{
  export how=$1 point=$2 since=${3:-}
  local view=overlay disk
  [ "$how" != nbdcopy ] || view=sparse
  serve "${source[@]}" view=$view create="$2" ${3:+checkpoint="$3"} -- \
    'unixsocket=$unixsocket bash in-run.sh' || fail "$how: the backup $2 is not what the disks were"
  no_job web1 || fail "a job is left"
  for disk in vda vdb; do check_restored $disk "$2"; done
  # Much is written before the next.
  wait_until 60 wrote_more $(($(guest_rounds web1) + 4))
}

back_up full sunday
back_up qemu-img monday sunday
back_up nbdcopy tuesday monday
back_up qemu-img wednesday tuesday
guest_runs web1 || fail "the guest does not run any more"
[ "$(checkpoint_names web1 | xargs)" = "monday sunday tuesday wednesday" ] \
  || fail "other checkpoints"
qemu-img info vda.wednesday.qcow2 | grep 'backing file: vda.tuesday.qcow2'
ls -s vd?.*.qcow2

# An increment holds less than all, and not what did not change.
for disk in vda vdb; do
  for point in monday tuesday wednesday; do
    [ "$(stat -c %b $disk.$point.qcow2)" -gt 0 ] || fail "$disk.$point is empty"
  done
done
for name in sunday monday tuesday wednesday; do checkpoint_delete web1 $name; done
lab_state web1 | diff -u before - || fail "something is left"

back_up full thursday
qmp web1.see blockdev-snapshot-sync \
  '{"device": "vda", "snapshot-file": "vda.new.qcow2"}' >/dev/null
wait_until 60 wrote_more $(($(guest_rounds web1) + 4))
lab_state web1 >before
nbdkit_options=(--filter="$filter")
back_up qemu-img friday thursday
[ "$(stat -c %b vda.friday.qcow2)" -gt 0 ] || fail "vda.friday is empty"
checkpoint_delete web1 friday
lab_state web1 | diff -u before - || fail "something is left"
guest_runs web1 || fail "the guest does not run any more"
guest_quit_writing web1
qemu-img check -q vda.qcow2
qemu-img check -q vda.new.qcow2
qemu-img check -q vdb.qcow2
