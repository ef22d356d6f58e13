#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A backup that fails before a client can read is undone with all that was
# begun, the new checkpoint included: nbdkit cannot listen, is killed while it
# starts, loses the job, or serves nobody.  (That it cannot reach QEMU's export
# is in test-libvirt-remote.sh.)
. "$(dirname "$0")/libvirt-lab.sh"

lab_with_guest
lab_state web1 >before
as_before () { lab_state web1 >after && cmp -s before after; }
was_undone ()
{
  wait_until 10 as_before || :
  lab_state web1 | diff -u before - || fail "something is left after $1"
}

# The job is begun, and then nbdkit cannot bind its own socket.
ln -s /nonexistent/n.sock bad.sock
! bounded nbdkit -f -U bad.sock "$plugin" libvirt="$connect" domain=web1 \
  checkpoint=monday create=tuesday || fail "nbdkit started"
was_undone "a socket that cannot be bound"

# killed WHEN COMMAND…: while it starts, as soon as COMMAND succeeds.
begun () { ls -d ./*.scratch >/dev/null 2>&1; }
killed ()
{
  local pid i
  nbdkit -f -U k.sock "$plugin" libvirt="$connect" domain=web1 \
    checkpoint=monday create=tuesday 2>/dev/null &
  pid=$!
  for ((i = 0; i < 100000; i++)); do
    ! "${@:2}" || break
  done
  kill -KILL $pid
  wait $pid || :
  was_undone "SIGKILL $1"
  rm -f k.sock
}
for ms in 10 40 70 100 150; do
  killed "$ms ms after the start" sleep "$(printf '0.%03d' $ms)"
done
for i in 1 2 3; do
  killed "once QEMU has a scratch file" begun
done
killed "once it listens" test -S k.sock

# Nobody comes.
start_nbdkit n.sock libvirt="$connect" domain=web1 checkpoint=monday \
  create=tuesday
virsh checkpoint-list web1 --name | grep -x tuesday || fail "no checkpoint"
stop_nbdkit
was_undone "a server without clients"

# The job is ended before a client comes.
start_nbdkit n.sock libvirt="$connect" domain=web1 checkpoint=monday \
  create=tuesday
virsh domjobabort web1
wait_until 10 grep -q 'the backup is over' nbdkit.log
! nbdinfo "nbd+unix:///vda?socket=n.sock" || fail "it can be opened"
stop_nbdkit
was_undone "a job that was lost before it was served"

# The guest ends before a client comes, and libvirt deletes checkpoints of running
# guests only: what is printed then is typed later.  A QEMU that was killed has not
# saved the checkpoint's bitmap, and libvirt then misses it.
quit () { virsh qemu-monitor-command web1 '{"execute": "quit"}' || :; }
crash ()
{
  local pid
  for pid in $(pgrep -f 'guest=web1,'); do
    ! is_ours "$pid" || kill -KILL "$pid"
  done
}
for end in quit crash; do
  rm -f nbdkit.log
  start_nbdkit n.sock libvirt="$connect" domain=web1 checkpoint=monday \
    create=tuesday
  $end
  wait_until 20 grep -q 'the backup is over' nbdkit.log
  wait_until 20 eval '[[ $(virsh domstate web1) == "shut off"* ]]'
  stop_nbdkit
  cat nbdkit.log
  grep -q 'guest web1: the checkpoint tuesday was made with a backup that failed, and cannot be deleted: .*; once the guest runs, type ' \
    nbdkit.log || fail "$end: it does not say that the checkpoint is left"
  guest_start web1
  delete () { type_printed '; once the guest runs, type ' '; if' nbdkit.log; }
  if [ $end = quit ]; then
    delete
    was_undone "a guest that was shut down"
  else
    ! delete || fail "libvirt deletes it, so nothing else need be said"
    type_printed 'before it saved it, type ' '' nbdkit.log
  fi
  [ "$(virsh checkpoint-list web1 --name | grep .)" = monday ] \
    || fail "$end: $(virsh checkpoint-list web1)"
done
serve libvirt="$connect" domain=web1 create=tuesday -- 'nbdinfo --size "$uri"'
