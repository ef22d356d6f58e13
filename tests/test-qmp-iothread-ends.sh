#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A guest whose disks are in an iothread, one of them a chain of two, outlives one
# backup after another: QEMU 7.2's memory was corrupted where all exports of a job went
# at once (1 of 12 backups).
. "$(dirname "$0")/qmp-lab.sh"

guest_iothread=virtio guest_boot web1 vda.qcow2 vdb.qcow2
source_of web1
wrote_more () { [ "$(guest_rounds web1)" -gt "$1" ]; }

# read_disks [@]: both at once; "@" is the whole disk.
read_disks ()
{
  echo "set -e
    nbdcopy \"nbd+unix:///vda$*?socket=\$unixsocket\" null: &
    nbdcopy \"nbd+unix:///vdb$*?socket=\$unixsocket\" null:
    wait \$!"
}

serve "${source[@]}" create=monday -- "$(read_disks @)" || fail "the first backup failed"
qmp web1.see blockdev-snapshot-sync \
  '{"device": "vda", "snapshot-file": "vda.new.qcow2"}' >/dev/null
wait_until 60 wrote_more "$(guest_rounds web1)"
[ "$(checkpoint_names web1)" = monday ] || fail "no checkpoint: $(checkpoint_names web1)"
lab_state web1 >before
nbdkit_options=(--filter="$filter")
for round in $(seq 30); do
  serve "${source[@]}" checkpoint=monday create=tuesday -- "$(read_disks)" \
    || fail "backup $round failed"
  wait_until 60 wrote_more "$(guest_rounds web1)"
  checkpoint_delete web1 tuesday
  lab_state web1 | diff -u before - || fail "something is left of backup $round"
done
guest_runs web1 || fail "the guest does not run any more"
guest_quit_writing web1
qemu-img check -q vda.new.qcow2
qemu-img check -q vdb.qcow2
