#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# What people report of guests of libvirt's (metadata lost, "Bitmap already exists",
# a crash, a job left behind) is made for real, found by check, mended by what it
# prints, and an incremental backup right afterwards has every byte.
. "$(dirname "$0")/libvirt-lab.sh"
. "$srcdir/tests/backups.sh"

guest_disk vda.qcow2 16M
lab_start
guest_define web1 vda.qcow2
guest_start web1
of=(--libvirt="$connect" --domain=web1)
full_backup vda monday
guest_write web1 vda "write -P 2 1M 64k"
is_ok "${of[@]}"
lab_state web1 >before
"$tool" check --json "${of[@]}" | jq -e '.status == "OK"'
lab_state web1 | diff -u before - || fail "the look left something"

# ── 1. Metadata lost: a guest that was defined anew, off and running ──
virsh destroy web1
virsh undefine --checkpoints-metadata web1
virsh define "$lab/web1.xml"
finds checkpoint-forgotten "${of[@]}"
[ $checked -eq 1 ] || fail "status $checked"
guest_start web1
mends checkpoint-forgotten "${of[@]}"
guest_write web1 vda "write -P 3 3M 64k"
incremental_backup vda monday
is_ok "${of[@]}"

# With the documents saved, libvirt is told of it as it was.
mkdir saved
virsh checkpoint-dumpxml web1 monday >saved/monday.xml
sed -i 's|<creationTime>.*</creationTime>|<creationTime>1700000000</creationTime>|' \
  saved/monday.xml
virsh checkpoint-delete --metadata web1 monday
virsh destroy web1
mends checkpoint-forgotten "${of[@]}" --tree=saved
virsh checkpoint-dumpxml web1 monday --no-domain | grep '<creationTime>1700000000<'
guest_start web1
incremental_backup vda monday

# ── 2. "Bitmap already exists", at the next checkpoint of the name ──
virsh destroy web1
virsh checkpoint-delete --metadata web1 monday
guest_start web1
! virsh checkpoint-create-as web1 monday 2>said || fail "it could be made"
grep -q 'Bitmap already exists' said || fail "$(cat said)"
mends checkpoint-forgotten "${of[@]}"
guest_write web1 vda "write -P 4 5M 64k"
incremental_backup vda monday
virsh checkpoint-delete web1 monday
full_backup vda monday

# ── 3. QEMU crashed ──
guest_write web1 vda "write -P 5 6M 64k"
virsh destroy web1
guest_start web1
kill -KILL "$(guest_pid web1)"
wait_until 20 eval '[ "$(virsh domstate web1 | head -n 1)" = "shut off" ]'
finds inconsistent-bitmap "${of[@]}"
[ $checked -eq 2 ] || fail "status $checked"
mends inconsistent-bitmap "${of[@]}"
mends checkpoint-without-bitmap "${of[@]}"
is_ok "${of[@]}"
guest_start web1
full_backup vda monday
guest_write web1 vda "write -P 6 7M 64k"
incremental_backup vda monday

# The same, while the guest runs again: it may be of use once it is off, so that is
# not typed unasked.
virsh destroy web1
guest_start web1
kill -KILL "$(guest_pid web1)"
wait_until 20 eval '[ "$(virsh domstate web1 | head -n 1)" = "shut off" ]'
guest_start web1
! bounded "$tool" check --fix --yes "${of[@]}" >found || fail "$(cat found)"
mends broken-record "${of[@]}"
is_ok "${of[@]}"
full_backup vda monday
guest_write web1 vda "write -P 7 8M 64k"
incremental_backup vda monday

# ── 8. A job left behind: by our killed server, and by another program ──
# ends_job CODE ARGS…: what is printed against it ends the job, a moment after it returns.
ends_job ()
{
  type_against "$@"
  wait_until 10 no_job web1
  finds_none "$@"
}
start_nbdkit n.sock libvirt="$connect" domain=web1 checkpoint=monday
find_keeper
finds job-served "${of[@]}"
[ $checked -eq 0 ] || fail "status $checked"
kill -KILL $keeper "$nbdkit_pid"
wait "$nbdkit_pid" || :
wait_until 10 lab_is_gone "$keeper"
ends_job job-left "${of[@]}"
is_ok "${of[@]}"
guest_write web1 vda "write -P 8 9M 64k"
incremental_backup vda monday

# What it left where sockets are, if no job is left; and a job that is called as ours
# are, but lies where they do not.
mkdir "$lab_sockets/nbdkit-checkpoint-0123456789abcdef"
mends folder-left "${of[@]}"
mkdir -p place/nbdkit-checkpoint-0123456789abcdef
cat >backup.xml <<END
<domainbackup mode='pull'>
  <server transport='unix' socket='$tmpdir/place/nbdkit-checkpoint-0123456789abcdef/nbd'/>
  <disks><disk name='vda' backup='yes' type='file'>
    <scratch file='$tmpdir/nbdkit-checkpoint-0123456789abcdef.vda.scratch'/></disk></disks>
</domainbackup>
END
virsh backup-begin web1 backup.xml
ends_job job-unknown "${of[@]}"
is_ok "${of[@]}"

cat >backup.xml <<END
<domainbackup mode='pull'><incremental>monday</incremental>
  <server transport='unix' socket='$tmpdir/other.sock'/></domainbackup>
END
virsh backup-begin web1 backup.xml
ends_job job-of-another "${of[@]}"
guest_write web1 vda "write -P 9 10M 64k"
incremental_backup vda monday
is_ok "${of[@]}"
