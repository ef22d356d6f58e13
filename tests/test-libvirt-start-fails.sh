#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A backup that fails before a client can read is undone with all that was
# begun, the new checkpoint included: nbdkit cannot listen, is killed while it
# starts, loses the job, or serves nobody.  (That it cannot reach QEMU's export
# is in test-libvirt-remote.sh.)
. "$(dirname "$0")/libvirt-lab.sh"

. "$srcdir/tests/start-fails.sh"

lab_with_guest
starts_fail
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
for end in quit crash; do
  rm -f nbdkit.log
  start_nbdkit n.sock libvirt="$connect" domain=web1 checkpoint=monday \
    create=tuesday
  guest_$end web1
  wait_until 20 grep -q 'the backup is over' nbdkit.log
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
