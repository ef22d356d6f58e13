#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A QEMU that hangs, or a keeper: nbdkit ends all the same, and what it prints to
# see what is left, and to end it, is typed once they go on.
. "$(dirname "$0")/libvirt-lab.sh"

for disk in a b c d; do guest_disk $disk.qcow2 16M; done
lab_start
guest_define web1 a.qcow2
guest_define web2 b.qcow2 c.qcow2 d.qcow2   # it is asked for each
for guest in web1 web2; do
  guest_start $guest
  virsh checkpoint-create-as $guest monday
done

# begin GUEST: $nbdkit_pid serves it from a folder of its name, and $keeper is its
# keeper, which is nobody's before.
begin ()
{
  local others=" ${keepers:-} "
  mkdir "$1"
  cd "$1"
  start_nbdkit n.sock libvirt="$connect" domain="$1" checkpoint=monday
  cd ..
  for keeper in $(pgrep -u "$(id -u)" -x nbdkit-keeper); do
    if [[ $others != *" $keeper "* ]] \
      && grep -qsaF "LAB_TMPDIR=$tmpdir" "/proc/$keeper/environ"; then
      keepers="${keepers:-} $keeper"
      return
    fi
  done
  fail "no keeper of $1"
}
# ends PID LOG: it must, with a status of its own.
ends ()
{
  wait_until 120 eval "! kill -0 $1 2>/dev/null"
  wait "$1" || :
  cat "$2"
}

# A keeper that does not end its job.
begin web1
keeper1=$keeper nbdkit1=$nbdkit_pid
kill -STOP "$keeper1"
kill "$nbdkit1"

# A QEMU that hangs while libvirt waits for its answer to another.
begin web2
keeper2=$keeper nbdkit2=$nbdkit_pid
for qemu in $(pgrep -f 'guest=web2,'); do ! is_ours "$qemu" || break; done
kill -STOP "$qemu"
bounded virsh -c "$connect" qemu-monitor-command web2 --hmp "info status" >status 2>&1 &
asking=$!
pids+=("$asking")
wait_until 10 eval '[[ $(virsh domcontrol web2 2>&1) != ok* ]]'
kill "$nbdkit2"

# So who asks for that guest is told of nothing, if of the sizes of its disks, too;
# and who wants a job is told who has it.
refuses "guest web2 is being served by another of our servers .*pgrep -a nbdkit" \
  libvirt="$connect" domain=web2 checkpoint=monday
mkdir look
(cd look
 refuses "guest web2 .*: libvirt did not tell of it within a minute; see if its daemon is well with: " \
   libvirt="$connect" domain=web2) >look.log 2>&1 &
looking=$!

ends "$nbdkit2" web2/nbdkit.log
# The keeper would try again in ten seconds, and for ten minutes.
kill -KILL "$keeper2"
grep -q 'guest web2: its backup job cannot be ended: .*; try virsh ' web2/nbdkit.log \
  || fail "it is not said that the job is left"

ends "$nbdkit1" web1/nbdkit.log
grep -q 'guest web1 .*: libvirt did not end the backup job within ' web1/nbdkit.log \
  || fail "it is not said that the job may be left"
type_printed 'to see whether it is left, type ' ', and to end it ' web1/nbdkit.log >seen
grep -q Backup seen || fail "it does not show the job: $(cat seen)"
type_printed ', and to end it ' '' web1/nbdkit.log
wait_until 10 no_job web1
kill -CONT "$keeper1"

wait "$looking" || fail "$(cat look.log)"
type_printed 'see if its daemon is well with: ' '' look/refused.log >list
grep -q 'web2  *\(running\|paused\)' list || fail "it does not list the guests: $(cat list)"

kill -CONT "$qemu"
wait "$asking" || fail "$(cat status)"
type_printed '; try ' '' web2/nbdkit.log
wait_until 10 no_job web2
for guest in web1 web2; do
  serve libvirt="$connect" domain=$guest checkpoint=monday -- \
    'nbdinfo --size "nbd+unix:///vda?socket=$unixsocket"'
done
