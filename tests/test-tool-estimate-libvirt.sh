#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint estimate, of a guest of libvirt's that runs: how much is dirty, and
# not a word of what is not known; no job is begun for it.  Of one that is off, the
# disks are read.
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk vda.qcow2
guest_disk vdb.qcow2
lab_start
guest_define web1 vda.qcow2 vdb.qcow2
guest_start web1
of=(--libvirt="$connect" --domain=web1)
virsh checkpoint-create-as web1 monday
guest_write web1 vda "write -P 2 1M 64k"
guest_write web1 vdb "write -z 1M 128k"
virsh checkpoint-create-as web1 tuesday --diskspec vda --diskspec vdb,checkpoint=no
guest_write web1 vda "write -P 3 2M 128k"

command virsh -q -c "$connect" qemu-monitor-event web1 --loop >events &
watcher=$!
pids+=($watcher)
# The watcher hears of what happens from now on.
monitored ()
{
  guest_write web1 vda "read 0 512"
  lab_qmp web1 stop >/dev/null; lab_qmp web1 cont >/dev/null
  lab_qmp web1 stop >/dev/null
  grep -q STOP events
}
wait_until 20 monitored
lab_state web1 >before
"$tool" estimate "${of[@]}" >table
cat table
grep -Eq '^monday +vda +192\.0 KiB +- +- +- +- +-$' table || fail "monday of vda"
grep -Eq '^monday +vdb +128\.0 KiB +- +- +- +- +-$' table || fail "monday of vdb"
grep -Eq '^monday +\(all\) +320\.0 KiB +- +- +- +- +-$' table || fail "all of monday"
grep -Eq '^tuesday +vda +128\.0 KiB +- +- +- +- +-$' table || fail "tuesday"
grep -q '^the guest runs, and libvirt tells no more without a backup$' table
"$tool" estimate tuesday --json "${of[@]}" | jq -e '.checkpoints | length == 1
  and (.[0].disks | length == 1) and (.[0].all.dirty == 131072)
  and (.[0].disks[0] | .dirty == 131072 and .data == null and .zeroes == null
       and .runs == null and .backup == null and .compressed == null)'
tool_says 1 'no checkpoint sunday' estimate sunday "${of[@]}"
lab_state web1 | diff -u before - || fail "the look left something"
! grep -E 'JOB' events || fail "a job was begun"

# A bitmap is gone: of that record nothing is guessed.
node=$(lab_qmp web1 query-named-block-nodes '{"flat": true}' | jq -r \
  '.[] | select(.drv == "qcow2" and (.file | endswith("/vdb.qcow2"))) | ."node-name"')
lab_qmp web1 block-dirty-bitmap-remove "{\"node\": \"$node\", \"name\": \"monday\"}" >/dev/null
status=0
"$tool" estimate "${of[@]}" >table 2>log || status=$?
cat table
[ $status = 1 ] || fail "status $status"
grep -Eq '^monday +vdb +- +- +- +- +- +-$' table || fail "monday of vdb was told"
grep -q '^monday: disk vdb: libvirt finds no bitmap monday .*; make a full backup' table \
  || grep -q '^monday: .*full backup' table || fail "it is not said why"

# Somebody's job: libvirt is not asked, as it would wait for its end.
cat >backup.xml <<END
<domainbackup mode='pull'><server transport='unix' socket='$tmpdir/job.sock'/>
  <disks><disk name='vda'><scratch file='$tmpdir/vda.scratch'/></disk>
    <disk name='vdb' backup='no'/></disks></domainbackup>
END
virsh backup-begin web1 backup.xml
wait_until 10 grep -q JOB events
status=0
"$tool" estimate "${of[@]}" >table 2>log || status=$?
cat table
[ $status = 2 ] || fail "status $status"
grep -Eq '^tuesday +vda +- +- +- +- +- +-$' table
grep -Eq '^tuesday: disk vda: .*(job|backup)' table || fail "the job is not named"
! no_job web1 || fail "their job was ended"
virsh domjobabort web1
wait_until 20 no_job web1
kill "$watcher"

# ── Off: all is known ──
guest_destroy web1
md5sum vda.qcow2 vdb.qcow2 >sums
"$tool" estimate tuesday --json "${of[@]}" | jq -e '.checkpoints[0].disks[0]
  | .dirty == 131072 and .data == 131072 and .backup.about > 131072'
md5sum -c --quiet sums || fail "an image was changed"
leaves_nothing
