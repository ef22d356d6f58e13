#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# create --quiesce --libvirt, of a real Linux with its real agent: its ext4 is frozen
# while libvirt makes the checkpoint, and thawed also if it is refused, or
# the tool killed.
. "$(dirname "$0")/libvirt-lab.sh"
. "$srcdir/tests/held-calls.sh"

lab_with_agent

# ── Frozen while it is made ──
hold create create one "${of[@]}" --quiesce
is_frozen web1
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
is_frozen web1
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
