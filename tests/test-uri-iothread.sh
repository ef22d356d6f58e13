#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# uri= of a job begun by hand, of a guest whose disk has an iothread: where its QEMU
# dies when a client leaves (7.2), that is refused before anything is opened; a newer
# one is served.  The guest lives, and its record is whole.
. "$(dirname "$0")/libvirt-lab.sh"

lab_start
guest_disk vda.qcow2
guest_iothread=virtio guest_define web1 vda.qcow2
guest_start web1
virsh checkpoint-create-as web1 monday
virsh resume web1
guest_write web1 vda 'write -P 2 1M 64k'

cat >backup.xml <<END
<domainbackup mode='pull'><incremental>monday</incremental>
  <server transport='unix' socket='$tmpdir/job.sock'/>
  <disks><disk name='vda' backup='yes' type='file'>
    <scratch file='$tmpdir/vda.scratch'/></disk></disks></domainbackup>
END
virsh backup-begin web1 backup.xml
version=$(qemu-system-x86_64 --version | sed -n 's/.*version \([0-9]*\.[0-9]*\).*/\1/p')
uri=(uri="nbd+unix:///vda?socket=$tmpdir/job.sock" checkpoint=monday)
if dpkg --compare-versions "$version" lt 8.2; then
  for bitmap in '' bitmap=backup-vda; do
    # shellcheck disable=SC2086
    refuses 'not connected, for its guest could die: QEMU there \(process [0-9]*\) has an iothread and is older than 8.2' \
      "${uri[@]}" $bitmap
  done
else
  serve "${uri[@]}" bitmap=backup-vda view=sparse -- \
    'nbdinfo --map --json "$uri" | jq -c "[.[] | select(.type == 0) | .offset]"' >dirty
  [ "$(cat dirty)" = "[1048576]" ] || fail "dirty is $(cat dirty)"
fi
[[ $(virsh domstate web1) == running* ]] || fail "the guest died"
virsh domjobabort web1
wait_until 20 no_job web1
[[ $(virsh domstate web1) == running* ]] || fail "the guest died"
serve libvirt="$connect" domain=web1 checkpoint=monday view=sparse -- \
  'nbdinfo --map --json "$uri" | jq -c "[.[] | select(.type == 0) | .offset]"' >dirty
[ "$(cat dirty)" = "[1048576]" ] || fail "the record is lost: $(cat dirty)"
