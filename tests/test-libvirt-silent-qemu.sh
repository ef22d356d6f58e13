#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A guest's QEMU is silent for longer than nbdkit waits for its job's end.  nbdkit
# ends, and says what to type; once QEMU answers again, the job ends all the same,
# and nothing is left.
. "$(dirname "$0")/libvirt-lab.sh"

lab_with_guest
lab_state web1 >before
qemu=$(guest_pid web1)
as_before () { lab_state web1 >after && cmp -s before after; }

start_nbdkit n.sock libvirt="$connect" domain=web1 checkpoint=monday
kill -STOP "$qemu"
kill "$nbdkit_pid"
bounded tail --pid="$nbdkit_pid" -f /dev/null || fail "nbdkit waits for ever"
wait "$nbdkit_pid" || :
cat nbdkit.log
grep -q "guest web1 .*: libvirt did not end the backup job within 45 s; to see whether it is left, type virsh .* domjobinfo web1, and to end it virsh .* domjobabort web1" \
  nbdkit.log || fail "it is not said what is left"
kill -CONT "$qemu"
wait_until 60 as_before
wait_until 30 lab_no_keeper

# The chain goes on.
guest_write web1 vda 'write -P 2 1M 64k'
serve libvirt="$connect" domain=web1 checkpoint=monday -- \
  'nbdinfo --map --json "$uri" | jq -c "[.[] | select(.type == 0) | .offset]"' >dirty
[ "$(cat dirty)" = "[1048576]" ] || fail "dirty is $(cat dirty)"
lab_state web1 | diff -u before - || fail "something is left"
