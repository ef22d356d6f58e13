# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced after libvirt-lab.sh: qemu-checkpoint that waits at an instant of
# held-call.c's.

held=$tmpdir/held

# hold INSTANT WORDS…: starts it, and returns at that instant; $tool_pid, what it
# says in held.said.
hold ()
{
  touch "$held.$1"
  env LD_PRELOAD="$(realpath "$builddir")/tests/.libs/held-call.so" \
    ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" HELD="$held" \
    "$tool" "${@:2}" >"$held.said" 2>&1 &
  tool_pid=$!
  pids+=("$tool_pid")
  wait_until 20 test -e "$held.met"
}

go_on () { rm "$held.met"; }

# ended STATUS REGEX: it has ended so, and said that.
ended ()
{
  local status=0
  wait "$tool_pid" || status=$?
  [ "$status" -eq "$1" ] || fail "status $status: $(cat "$held.said")"
  grep -Eq -- "$2" "$held.said" || fail "no '$2': $(cat "$held.said")"
}

# lab_with_agent: the guest web1, a real Linux that writes, with its agent; $of names
# it.
lab_with_agent ()
{
  lab_start
  lab_agent
  guest_devices="<channel type='unix'>
    <target type='virtio' name='org.qemu.guest_agent.0'/></channel>" \
    guest_boot web1 vda.qcow2
  of=(--libvirt="$connect" --domain=web1)
  wait_until 60 agent_answers
}
agent_answers ()
{
  virsh qemu-agent-command web1 '{"execute": "guest-ping"}' >/dev/null 2>&1
}
wrote_more () { [ "$(guest_rounds web1)" -gt "$1" ]; }
goes_on () { wait_until 30 wrote_more "$(guest_rounds web1)"; }

# names: of web1's checkpoints, on a line.
names () { virsh checkpoint-list web1 --name | grep . | paste -sd ' '; }
