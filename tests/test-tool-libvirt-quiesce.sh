#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# create --quiesce --libvirt, of a real Linux with its real agent: its ext4 is frozen
# while libvirt makes the checkpoint, and thawed whatever happens: the checkpoint is
# refused, the tool is killed, libvirtd is.
. "$(dirname "$0")/libvirt-lab.sh"
. "$srcdir/tests/held-calls.sh"

lab_start
lab_agent
guest_devices="<channel type='unix'>
  <target type='virtio' name='org.qemu.guest_agent.0'/></channel>" \
  guest_boot web1 vda.qcow2
of=(--libvirt="$connect" --domain=web1)
wrote_more () { [ "$(guest_rounds web1)" -gt "$1" ]; }
goes_on () { wait_until 30 wrote_more "$(guest_rounds web1)"; }
agent_answers ()
{
  virsh qemu-agent-command web1 '{"execute": "guest-ping"}' >/dev/null 2>&1
}
wait_until 60 agent_answers
names () { virsh checkpoint-list web1 --name | grep . | paste -sd ' '; }
is_frozen ()
{
  rounds=$(guest_rounds web1)
  sleep 1
  [ "$(guest_rounds web1)" -eq "$rounds" ] || fail "the guest writes on"
}

# ── Frozen while it is made ──
hold create create one "${of[@]}" --quiesce
is_frozen
qemu-img convert -U -f qcow2 -O raw vda.qcow2 frozen.raw
e2fsck -fn frozen.raw >fsck.log 2>&1 || { cat fsck.log; fail "it is not sound"; }
! grep -i journal fsck.log || fail "it was not frozen"
rm frozen.raw
go_on
ended 0 'checkpoint one created'
goes_on
[ "$(names)" = one ] || fail "no checkpoint"

# ── Refused, once it is frozen ──
"$tool" create left "${of[@]}" --no-metadata
tool_says 2 'Bitmap already exists: left' create left "${of[@]}" --quiesce
goes_on

# ── The tool is killed: frozen, nothing is made; begun, it is finished ──
hold frozen create two "${of[@]}" --quiesce
is_frozen
kill -KILL "$tool_pid"
wait "$tool_pid" || :
go_on
goes_on
wait_until 10 no_keeper
[ "$(names)" = one ] || fail "made for nobody"
hold create create two "${of[@]}" --quiesce
kill -KILL "$tool_pid"
wait "$tool_pid" || :
go_on
goes_on
wait_until 10 no_keeper
[ "$(names)" = 'one two' ] || fail "not finished"

# ── libvirtd is killed, and comes back ──
hold create create three "${of[@]}" --quiesce
lab_kill
is_frozen
go_on
lab_daemon
goes_on
ended 2 'whether it was done is not known; to see, type virsh .*checkpoint-list web1'
[ "$(names)" = 'one two' ] || fail "made without a daemon"
wait_until 10 no_keeper
# It does not come back at once: a process stays, and tries again.
hold create create three "${of[@]}" --quiesce
lab_kill
go_on
ended 2 'and then: .*still frozen, and cannot be thawed .*type virsh .*domfsthaw web1'
is_frozen
! no_keeper || fail "nobody is left to thaw it"
lab_daemon
goes_on
wait_until 30 no_keeper
# The guest is destroyed.
hold frozen create three "${of[@]}" --quiesce
guest_destroy web1
go_on
ended 2 'web1'
wait_until 10 no_keeper
