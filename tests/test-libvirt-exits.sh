#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# However the server ends, job, socket and scratch files end with it, and the
# checkpoints are those that are said to stay.
. "$(dirname "$0")/${lab_of:-libvirt}-lab.sh"

guest_disk vda.qcow2
guest_disk vdb.qcow2
lab_start
guest_define web1 vda.qcow2 vdb.qcow2
guest_start web1
checkpoint_make web1 monday
source_of web1
lab_state web1 >before

as_before () { lab_state web1 >after && cmp -s before after; }

# was_undone WHAT: at once, unless a number of seconds is allowed.
was_undone ()
{
  [ -z "${2:-}" ] || wait_until "$2" as_before
  lab_state web1 | diff -u before - || fail "something is left after $1"
}

begin ()
{
  start_nbdkit n.sock "${source[@]}" checkpoint=monday "$@"
  job_runs web1 || fail "no job runs"
}

# --run ends, well or not.
serve "${source[@]}" checkpoint=monday -- \
  'nbdinfo --size "nbd+unix:///vdb?socket=$unixsocket"'
was_undone "--run"
! serve "${source[@]}" checkpoint=monday -- 'exit 3' \
  || fail "the status of --run is lost"
was_undone "a failing --run"

for signal in TERM INT HUP; do
  begin
  kill -$signal "$nbdkit_pid"
  wait "$nbdkit_pid" || :
  was_undone "SIG$signal"
done

# A client that stays connected does not keep the job, only nbdkit itself.
begin
"$python" -c '
import nbd, time
h = nbd.NBD ()
h.connect_uri ("nbd+unix:///vda?socket=n.sock")
h.pread (65536, 0)
open ("connected", "w").close ()
time.sleep (60)' &
client=$!
pids+=($client)
wait_until 10 test -e connected
kill "$nbdkit_pid"
was_undone "SIGTERM with a client that stays" 10
kill $client
wait $client || :
wait "$nbdkit_pid" || :
! grep -q 'error:' nbdkit.log || { cat nbdkit.log; fail "an error was logged"; }

# A client comes, reads, and vanishes; then the server is ended.
begin
"$python" -c '
import nbd, os, signal
h = nbd.NBD ()
h.connect_uri ("nbd+unix:///vda?socket=n.sock")
h.pread (65536, 0)
os.kill (os.getpid (), signal.SIGKILL)' || :
job_runs web1 || fail "the job ended with a client"
stop_nbdkit
was_undone "a client that vanished"

# In the background, where the process that began the job is not the one that
# serves.
rm -f n.sock n.pid
nbdkit -U n.sock -P "$tmpdir/n.pid" "$plugin" "${source[@]}" checkpoint=monday
wait_until 10 test -s n.pid
nbdinfo --size "nbd+unix:///vda?socket=n.sock"
job_runs web1 || fail "the job ended in the background"
kill "$(cat n.pid)"
was_undone "the end of a server in the background" 10

# Killed: the keeper is there to end the job.
begin
kill -KILL "$nbdkit_pid"
wait "$nbdkit_pid" || :
was_undone SIGKILL 10

# Killed after a client came: the checkpoint is of use, and stays.
begin create=tuesday
nbdinfo --size "nbd+unix:///vda?socket=n.sock"
kill -KILL "$nbdkit_pid"
wait "$nbdkit_pid" || :
wait_until 10 no_job web1
checkpoint_exists web1 tuesday || fail "the checkpoint of a client is gone"
checkpoint_delete web1 tuesday
was_undone "SIGKILL with a checkpoint" 10

# Killed under --run, whose command lives on and holds what it inherited.
rm -f started
bounded nbdkit -U - "$plugin" "${source[@]}" checkpoint=monday \
  --run 'echo $PPID >started; sleep 30' &
run_pid=$!
pids+=("$run_pid")
wait_until 20 test -s started
job_runs web1 || fail "no job runs under --run"
kill -KILL "$(pgrep -P "$(cat started)" -x nbdkit)"
was_undone "SIGKILL under --run" 10
kill "$run_pid"
