#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# examples/backup-guest of a real Linux that writes without pause, with its real agent:
# QUIESCE=yes freezes its file systems while the backup begins, so that they are sound and
# need no journal, whole and incremental; they are thawed, also when the script is
# killed just then; and it is no backup that says it was frozen when it was not.
. "$(dirname "$0")/libvirt-lab.sh"
. "$srcdir/tests/example-lab.sh"
. "$srcdir/tests/held-calls.sh"

lab_with_agent
export QUIESCE=yes

# sound: the file system of the newest backup.
sound ()
{
  qemu-img convert -f qcow2 -O raw "$kept/$point/vda.qcow2" sound.raw
  e2fsck -fn sound.raw >fsck.log 2>&1 || { cat fsck.log; fail "it is not sound"; }
  ! grep -i journal fsck.log || fail "it was not frozen"
  rm sound.raw
}

day 1
backup 0 'vda full'
goes_on
sound
day 2
backup 0 'vda increment'
goes_on
sound

# ── Killed while it is frozen ──
day 3
now=$((now + 60))
# Of the script: what is run so is the freeze, after which it waits here.
timeout ()
{
  local status=0
  command timeout "$@" || status=$?
  touch "$tmpdir/frozen"
  while [ -e "$tmpdir/hold" ]; do sleep 0.1; done
  return $status
}
export -f timeout
export tmpdir
touch hold
bash "$srcdir/examples/backup-guest" web1 "$kept" >killed.log 2>&1 &
pid=$!
wait_until 60 [ -e frozen ]
is_frozen web1
kill -KILL $pid
wait $pid 2>/dev/null || :
rm hold
goes_on
backup 0 'vda increment'
goes_on
sound

# ── The freeze is over before the backup begins ──
day 4
# As if 90 s were 2: of the process that thaws.
read ()
{
  [ "$1" != -rt ] || { builtin read -r -t 2; return; }
  builtin read "$@"
}
export -f read
rm frozen
touch hold
(wait_until 60 [ -e frozen ]; rm -f frozen; wait_until 60 wrote_more "$(guest_rounds web1)"; rm hold) &
pids+=($!)
backup 1 'thawed too early'
goes_on
unset -f read timeout

# ── No agent answers ──
day 5
guest_destroy web1
guest_start web1
backup 1 'not frozen'
