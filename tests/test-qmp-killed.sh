#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# With qmp=, nbdkit is killed: as it begins a backup, whichever process it is; when a
# connection is about to ask QEMU for an export, and when it has just got it; before
# anybody came.  Nothing is left in QEMU, nor a process, file or checkpoint, and the
# guest lives.
. "$(dirname "$0")/qmp-lab.sh"
. "$srcdir/tests/start-fails.sh"
. "$srcdir/tests/killed-connecting.sh"

lab_with_guest
starts_fail

bounded "$python" "$srcdir/tests/kill-at-random.py" "${SEED:-$RANDOM}" \
  "$(rounds 25)" "${SECONDS_MAX:-15}" 400 first,nbdkit "$plugin" \
  "${source[@]}" checkpoint=monday create=killed
was_undone "those killed at random"

# The waiting process alone, once the command runs.
touch waiting
rm -f n.sock
nbdkit -U n.sock "$plugin" "${source[@]}" checkpoint=monday \
  --run "rm $PWD/waiting; exec sleep 30" 2>n.log &
waiting=$!
pids+=($waiting)
wait_until 20 test ! -e waiting
pids+=($(pgrep -P $waiting))
kill -KILL $waiting
wait $waiting || :
was_undone "the death of the process that waits"
grep -q "^nbdkit: .*--run's command was killed" n.log || fail "$(cat n.log)"
guest_quit web1

guest_disk disk.qcow2
guest_disk other.qcow2
guest=guest
guest_iothread=virtio guest_define guest disk.qcow2 other.qcow2
guest_start guest
guest_resume guest
killed_while_connecting
