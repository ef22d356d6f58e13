#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Agents that are silent, refuse, or fail in the middle: no checkpoint is made that
# is not what was asked for, and what was frozen is thawed, again and again if need
# be.  What is said begins with what it means for the guest.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/qemu-lab.sh"

guest_disk vda.qcow2
qemu_start q -drive file=vda.qcow2,format=qcow2,if=none,id=vda \
  -device virtio-blk-pci,drive=vda
create=(create monday --qmp=q.sock --agent=a.sock --quiesce)
# agent FAULT…: the next one, which logs to a.log.
agent_pid=
agent ()
{
  [ -z "$agent_pid" ] || { kill $agent_pid; wait $agent_pid || :; }
  rm -f a.sock a.log
  "$python" "$srcdir/tests/agent.py" a.sock a.log "$@" &
  agent_pid=$!
  pids+=($agent_pid)
  wait_until 5 test -S a.sock
}
nothing_made ()
{
  [ -z "$("$tool" list --qmp=q.sock --name)" ] || fail "a checkpoint was made"
  no_undo || fail "a process is left"
}
heard () { paste -sd' ' a.log | sed 's/guest-\(fsfreeze-\)*//g'; }

tool_says 2 "the guest agent's socket a.sock cannot be reached: .*; check the path" \
  "${create[@]}"
# An agent that would not be asked is not taken in silence.
for words in --qmp=q.sock '--file=vda.qcow2 --quiesce' --tree=tree; do
  # shellcheck disable=SC2086
  tool_says 2 '--agent goes with --qmp and --quiesce; add' \
    create monday --agent=a.sock $words
done
nothing_made
agent silent
tool_says 2 "the guest's agent at a.sock does not answer; does qemu-guest-agent run" \
  "${create[@]}"
nothing_made
agent frozen
tool_says 2 'frozen already, by another program' "${create[@]}"
nothing_made
[ "$(heard)" = 'sync-delimited status' ] || fail "it was thawed: $(heard)"
agent refuses
tool_says 2 'refuses guest-fsfreeze-freeze: failed to freeze /srv' "${create[@]}"
nothing_made
# Some file systems may be frozen by then.
[[ $(heard) == *' freeze sync-delimited thaw status' ]] || fail "not thawed: $(heard)"
agent none
tool_says 2 'has frozen no file system' "${create[@]}"
nothing_made
agent leftovers
"$tool" "${create[@]}"
[ "$(heard)" = 'sync-delimited status freeze status sync-delimited thaw status' ] \
  || fail "heard: $(heard)"
"$tool" delete monday --qmp=q.sock

# ── The thaw fails, and is tried again ──
agent thaws=2
"$tool" "${create[@]}"
[[ $(heard) == *'thaw sync-delimited thaw sync-delimited thaw status' ]] \
  || fail "not thawed: $(heard)"
no_undo || fail "a process is left"
"$tool" delete monday --qmp=q.sock
agent thaws=24
tool_says 2 "THE GUEST'S FILE SYSTEMS MAY BE FROZEN STILL: .*fsfreeze -u.*Checkpoint monday is made" \
  "${create[@]}"
grep -q "^qemu-checkpoint: THE GUEST'S" refused.log || fail "it is not said first"
[ "$("$tool" list --qmp=q.sock --name)" = monday ] || fail "no checkpoint"
# The process beside the tool goes on, and leaves once it is done.
wait_until 10 no_undo
tail -n 1 a.log | grep status

# ── A guest that does not run ──
guest_disk vdb.qcow2 16M
tool_says 2 'no guest runs' create friday --file=vdb.qcow2 --quiesce
