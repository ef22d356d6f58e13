#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Killed as it begins a job, whichever process it is, and with --run the one that
# waits for the command, nbdkit leaves no process, job, file or checkpoint; and
# what stops the guest before the first client came leaves no folder.
. "$(dirname "$0")/libvirt-lab.sh"

lab_with_guest
lab_state web1 >before

bounded "$python" "$srcdir/tests/kill-at-random.py" "${SEED:-$RANDOM}" \
  "$(rounds 60)" "${SECONDS_MAX:-70}" 600 first,nbdkit "$plugin" \
  libvirt="$connect" domain=web1 checkpoint=monday create=killed
as_before () { lab_state web1 >after && cmp -s before after; }
wait_until 10 as_before || :
lab_state web1 | diff -u before - || fail "something is left of those killed"

# The waiting process alone, once the command runs.
touch started
nbdkit -U n.sock "$plugin" libvirt="$connect" domain=web1 checkpoint=monday \
  --run "rm $PWD/started; exec sleep 30" 2>n.log &
waiting=$!
pids+=($waiting)
is_started () { [ ! -e started ]; }
wait_until 20 is_started
pids+=($(pgrep -P $waiting))
kill -KILL $waiting
wait $waiting || :
wait_until 20 as_before
rm n.sock
grep -q "^nbdkit: .*--run's command was killed" n.log || fail "$(cat n.log)"

# The checkpoint cannot be deleted then; all else is.
start_nbdkit n.sock libvirt="$connect" domain=web1 checkpoint=monday create=c1
virsh destroy web1
stop_nbdkit || :
[ -z "$(find "$lab_sockets" -name 'nbdkit-checkpoint-*')" ] \
  || fail "the folder is left: $(find "$lab_sockets")"
[ -z "$(find "$tmpdir" -name '*.scratch')" ] || fail "scratch is left"
