#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Whichever process of ours is killed as it starts, in whichever mode, nothing is
# left running, and no folder that the next start does not remove.
. "$(dirname "$0")/functions.sh"

qemu-img create -q -f qcow2 disk.qcow2 16M
qemu-img bitmap --add disk.qcow2 monday
qemu-io -c 'write -P 1 1M 64k' disk.qcow2 >/dev/null

bounded "$python" "$srcdir/tests/kill-at-random.py" "${SEED:-$RANDOM}" \
  "$(rounds 120)" "${SECONDS_MAX:-90}" 200 first,nbdkit,qemu-storage-da \
  "$plugin" file="$PWD/disk.qcow2" checkpoint=monday

# The server of --run, while its command goes on.
nbdkit -U - "$plugin" file="$PWD/disk.qcow2" checkpoint=monday \
  --run 'touch runs; exec sleep 60' &
first=$!
pids+=("$first")
wait_until 30 test -e runs
server=$(pgrep -P "$first" -x nbdkit)
find_daemon "$server"
kill -KILL "$server"
# It was started by the process that waits, which does not reap it.
daemon_has_ended ()
{
  case $(ps -o stat= -p "$daemon") in '' | Z*) ;; *) return 1 ;; esac
}
wait_until 10 daemon_has_ended
kill -0 "$first" || fail "the command did not go on"
command=$(pgrep -P "$first" sleep)
kill "$command"
wait "$first" || :
