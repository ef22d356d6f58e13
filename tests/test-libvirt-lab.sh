#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# What the other tests with libvirt stand on, without our plugin: the daemon,
# a guest's writes, a backup job, and the truth that views are compared with.
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk vda.qcow2
guest_disk vdb.qcow2 16M
truncate -s 1M vdc.raw
lab_start
[ "$(virsh uri)" = "$connect" ] || fail "the daemon is not $connect"
guest_define web1 vda.qcow2 vdb.qcow2 vdc.raw
no_job web1 || fail "a job runs in a guest that is shut off"
guest_start web1
[ "$(virsh domstate web1 | head -n 1)" = paused ] || fail "it is not paused"
no_job web1 || fail "a job runs"
virsh checkpoint-create-as web1 monday --diskspec vda --diskspec vdb \
  --diskspec vdc,checkpoint=no
guest_write web1 vda "write -P 7 1M 64k"
guest_write web1 vdb "discard 3M 64k"
guest_write web1 vdc "write -P 9 0 64k"
! guest_write web1 vdc "write 1M 64k" || fail "a failed write is not noticed"
lab_state web1 >before
cat before

cat >backup.xml <<END
<domainbackup mode='pull'>
  <incremental>monday</incremental>
  <server transport='unix' socket='$tmpdir/job.sock'/>
  <disks>
    <disk name='vda'><scratch file='$tmpdir/vda.scratch'/></disk>
    <disk name='vdb' exportname='other,name'>
      <scratch file='$tmpdir/vdb.scratch'/></disk>
    <disk name='vdc' backup='no'/>
  </disks>
</domainbackup>
END
virsh backup-begin web1 backup.xml
! no_job web1 || fail "no job runs"
lab_state web1 >during
for what in vda.scratch vdb.scratch 'block job: ' 'export: ' 'backup-vda'
do
  grep -qF -- "$what" during || fail "lab_state does not tell of $what"
done

# The same bytes, however much is written meanwhile.
for file in one.raw two.raw; do
  guest_write web1 vda "write -P 8 1M 128k"
  guest_write web1 vdb "write -P 8 0 64k"
  full_copy_of_job web1 vda vda.$file
  full_copy_of_job web1 vdb vdb.$file
done
for disk in vda vdb; do
  cmp $disk.one.raw $disk.two.raw || fail "$disk changed in the backup"
  ! qemu-img compare -q -U -f raw -F qcow2 $disk.one.raw $disk.qcow2 \
    || fail "the guest did not write to $disk"
done
qemu-io -r -f raw -c 'read -q -P 7 1M 64k' vda.one.raw
qemu-io -r -f raw -c 'read -q -P 1 0 1M' vdb.one.raw
qemu-io -r -f raw -c 'read -q -P 0 3M 64k' vdb.one.raw
virsh domjobabort web1
wait_until 10 no_job web1
lab_state web1 | diff -u before - || fail "the job left something"

# Guests outlive the daemon.
lab_restart
lab_state web1 | diff -u before - || fail "not as before the daemon's restart"
lab_kill
! virsh uri 2>/dev/null || fail "the daemon answers though it was killed"
lab_daemon
guest_destroy web1
no_job web1 || fail "a job runs in a guest that was destroyed"
lab_state web1 | grep '^state: shut off'

# A guest that had no time to write down its pid ends with its test.
if [ "$(id -u)" -ne 0 ]; then
  guest_start web1
  pid=$(cat "$lab_sockets"/libvirt/qemu/run/web1.pid)
  rm "$lab_sockets"/libvirt/qemu/run/web1.pid
  lab_kill
  lab_end_guests
  lab_is_gone "$pid" || fail "QEMU is left"
fi

lab_small_folder small 8M
[ "$(stat -f -c '%a * %S' "$lab_small" | xargs -I{} sh -c 'echo $(({}))')" \
  -gt 8000000 ] || fail "the small folder is too small"
! dd if=/dev/zero of="$lab_small/file" bs=1M count=9 2>/dev/null \
  || fail "the small folder is too large"
