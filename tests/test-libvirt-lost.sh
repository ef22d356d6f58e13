#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# What ends the job under our hands: the guest is destroyed or shuts down,
# somebody aborts the job, libvirt's daemon restarts or dies.  A client gets
# EIO at once, the log says why, and the server ends cleanly.
. "$(dirname "$0")/libvirt-lab.sh"

lab_with_guest

# A client that reads all the time; it tells how long the first failure took.
cat >reader.py <<'EOT'
import errno, nbd, sys, time
h = nbd.NBD ()
h.connect_uri ("nbd+unix:///vda?socket=n.sock")
h.pread (512, 0)
open ("reading", "w").close ()
end = time.monotonic () + 60
while time.monotonic () < end:
    start = time.monotonic ()
    try:
        h.pread (65536, 0)
    except nbd.Error as e:
        print (e.errno, "%.3f" % (time.monotonic () - start))
        sys.exit (e.errno != "EIO" or time.monotonic () - start > 5)
    time.sleep (0.01)
sys.exit ("no read failed")
EOT

# lost REGEX COMMAND…: begin, read, run COMMAND; a reader must fail, and the
# log match.
lost ()
{
  local regex=$1 reader started
  shift
  rm -f nbdkit.log reading
  start_nbdkit n.sock libvirt="$connect" domain=web1 checkpoint=monday
  "$python" reader.py &
  reader=$!
  pids+=("$reader")
  wait_until 10 test -e reading
  "$@"
  started=$SECONDS
  wait $reader || fail "no EIO at once after $*"
  # The job does not wait for the server's end, if anybody can end it.
  [ "$1" = lab_kill ] || wait_until 20 no_job web1
  # A client that comes now is refused, in words.
  ! nbdsh -u "nbd+unix:///vda?socket=n.sock" -c 'h.pread (512, 0)' 2>/dev/null \
    || fail "a read succeeded after $*"
  stop_nbdkit
  # Who cannot reach libvirt tries twice, for 15 s, and may wait 14 s before for
  # what negotiates.
  [ $((SECONDS - started)) -lt 60 ] || fail "it took long to end after $*"
  cat nbdkit.log
  grep -Eq "error: guest web1 .*: $regex; the backup is over" nbdkit.log \
    || fail "the log does not say '$regex' after $*"
}
nothing_left ()
{
  wait_until 20 no_job web1
  ! ls -d ./*.scratch 2>/dev/null || fail "a scratch file is left"
}

lost "somebody ended the backup job \\(virsh domjobabort\\?\\)" \
  virsh domjobabort web1
nothing_left

lost "(the guest was destroyed|the guest stopped)" \
  virsh destroy web1
! ls -d ./*.scratch 2>/dev/null || fail "a scratch file is left"
guest_start web1

# The server is told to end before the keeper has heard of it.
rm -f nbdkit.log
start_nbdkit n.sock libvirt="$connect" domain=web1 checkpoint=monday
find_keeper
kill -STOP "$keeper"
virsh destroy web1
kill "$nbdkit_pid"
sleep 0.3
kill -CONT "$keeper"
wait "$nbdkit_pid" || :
cat nbdkit.log
grep -q 'the guest \(was destroyed\|stopped\); the backup is over' nbdkit.log \
  || fail "the log does not say why, if nbdkit ends at the same time"
! ls -d ./*.scratch 2>/dev/null || fail "a scratch file is left"
guest_start web1

# QEMU ends by itself, as when a guest is shut down.
quit () { virsh qemu-monitor-command web1 '{"execute": "quit"}' || :; }
lost "the guest (was shut down|was destroyed|stopped|crashed)" quit
wait_until 20 eval '[[ $(virsh domstate web1) == "shut off"* ]]'
! ls -d ./*.scratch 2>/dev/null || fail "a scratch file is left"
guest_start web1

lost "the connection to libvirt was lost.*" lab_restart
nothing_left

# A transient guest is gone altogether.
virsh dumpxml web1 | sed "s/web1/web2/; /<uuid>/d" >web2.xml
virsh destroy web1
virsh create --paused web2.xml
virsh checkpoint-create-as web2 transient
rm -f nbdkit.log
start_nbdkit n.sock libvirt="$connect" domain=web2 checkpoint=transient
virsh destroy web2
wait_until 10 grep -q 'the backup is over' nbdkit.log
stop_nbdkit
cat nbdkit.log
grep -Eq 'guest web2 .*: the guest (was destroyed|stopped);' nbdkit.log \
  || fail "the log does not say that the guest is gone"
[ "$(grep -c error: nbdkit.log)" -eq 1 ] || fail "more than one error"
! ls -d ./*.scratch 2>/dev/null || fail "a scratch file is left"
qemu-img bitmap --remove vda.qcow2 transient
guest_start web1

# The daemon never comes back: nobody can end the job then, but we end.
lost "the connection to libvirt was lost.*" lab_kill
grep -q 'its backup job cannot be ended, for libvirt does not answer' nbdkit.log \
  || fail "it does not say that the job is left"
# Its keeper would go on trying for ten minutes.
find_keeper
kill -KILL "$keeper"
lab_daemon
type_printed '; once it does, type ' '' nbdkit.log
nothing_left
serve libvirt="$connect" domain=web1 checkpoint=monday -- 'nbdinfo --size "$uri"'
