#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A job that nbdkit and its keeper left when both were killed is recognised,
# and ended if take-over=yes is said.  The job of another program, or of an
# nbdkit that is alive, is not touched.
. "$(dirname "$0")/libvirt-lab.sh"

lab_with_guest
lab_state web1 >before
job () { virsh backup-dumpxml web1; }

start_nbdkit n.sock libvirt="$connect" domain=web1 checkpoint=monday
find_keeper
kill -KILL $keeper "$nbdkit_pid"
wait "$nbdkit_pid" || :
job >left
refuses 'guest web1 has a backup job that one of our servers left behind when it was killed; start with take-over=yes, or end it with: virsh -c .* domjobabort web1 && rm -r [^ ]*/nbdkit-checkpoint-[0-9a-f]{16}$' \
  libvirt="$connect" domain=web1 checkpoint=monday
job | diff -u left - || fail "the job was touched"
serve libvirt="$connect" domain=web1 checkpoint=monday take-over=yes -- '
  sleep 1.5                     # an event of the old job would come now
  nbdinfo --map "nbd+unix:///vda?socket=$unixsocket"'
lab_state web1 | diff -u before - || fail "something is left of both"

# After what the message says to type, nothing stands in the way.
start_nbdkit n.sock libvirt="$connect" domain=web1 checkpoint=monday
find_keeper
kill -KILL $keeper "$nbdkit_pid"
wait "$nbdkit_pid" || :
refuses 'or end it with: ' libvirt="$connect" domain=web1 checkpoint=monday
type_printed 'or end it with: '
wait_until 10 no_job web1
serve libvirt="$connect" domain=web1 checkpoint=monday -- 'nbdinfo --size "$uri"'

# The keeper alone was killed: nbdkit says how to look, and what to do.
rm -f nbdkit.log
start_nbdkit n.sock libvirt="$connect" domain=web1 checkpoint=monday
find_keeper
kill -KILL $keeper
wait_until 10 grep -q 'the process that watches it is gone; the backup is over' \
  nbdkit.log
stop_nbdkit
type_printed 'to see whether one is left, type ' ', and to end it ' nbdkit.log >seen
grep -q Backup seen || fail "it does not show the job: $(cat seen)"
type_printed ', and to end it ' '' nbdkit.log
wait_until 10 no_job web1
rm -r "$lab_sockets"/nbdkit-checkpoint-*

# Another program's.
cat >backup.xml <<EOT
<domainbackup mode='pull'>
  <server transport='unix' socket='$tmpdir/other.sock'/>
</domainbackup>
EOT
virsh backup-begin web1 backup.xml
job >left
for more in take-over=no take-over=yes; do
  refuses 'guest web1 has a backup job of another program' \
    libvirt="$connect" domain=web1 checkpoint=monday $more
  type_printed '; to see, type ' >seen
  grep -q Backup seen || fail "it does not show the job: $(cat seen)"
  job | diff -u left - || fail "another program's job was touched"
done
virsh domjobabort web1
wait_until 10 no_job web1
rm -f other.sock

# An nbdkit's that is alive.
start_nbdkit n.sock libvirt="$connect" domain=web1 checkpoint=monday
job >left
refuses 'guest web1 is being served by another of our servers' \
  libvirt="$connect" domain=web1 checkpoint=monday take-over=yes
type_printed '; to see it, type ' >seen
grep "^$nbdkit_pid .*nbdkit .*domain=web1" seen || fail "who it is: $(cat seen)"
job | diff -u left - || fail "a job that is served was touched"
nbdinfo --size "nbd+unix:///vda?socket=n.sock"
stop_nbdkit

# An nbdkit's of which nothing can be known, as its folder cannot be read.
mkdir sockets
start_nbdkit n.sock libvirt="$connect" domain=web1 checkpoint=monday \
  socket-dir="$tmpdir/sockets"
find_keeper
kill -KILL $keeper "$nbdkit_pid"
wait "$nbdkit_pid" || :
mv sockets hidden
job >left
refuses 'has a backup job of one of our servers that cannot be looked at from here .*may be alive' \
  libvirt="$connect" domain=web1 checkpoint=monday take-over=yes
job | diff -u left - || fail "a job whose owner may be alive was touched"
type_printed ', or if it was killed: '
wait_until 10 no_job web1
serve libvirt="$connect" domain=web1 checkpoint=monday -- 'nbdinfo --size "$uri"'
