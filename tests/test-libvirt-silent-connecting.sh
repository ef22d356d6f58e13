#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A guest's QEMU is silent for a while just as its backup job has begun, for longer
# than a connection waits for it (a storage that stands still).  The backup is served
# all the same, and nothing is left.
. "$(dirname "$0")/libvirt-lab.sh"
. "$srcdir/tests/killed-connecting.sh"

lab_with_guest
guest_write web1 vda 'write -P 2 1M 64k'
lab_state web1 >before
qemu=$(guest_pid web1)

touch "$LATE.go"
env "$preload=$late" nbdkit -U - "$plugin" libvirt="$connect" domain=web1 \
  checkpoint=monday --run \
  'nbdinfo --map --json "$uri" | jq -c "[.[] | select(.type == 0) | .offset]"' \
  >dirty 2>start.log &
nbdkit_pid=$!
pids+=("$nbdkit_pid")
wait_until 30 test -e "$LATE.met"
kill -STOP "$qemu"
rm "$LATE.met"
sleep 13
kill -CONT "$qemu"
bounded tail --pid="$nbdkit_pid" -f /dev/null || fail "nbdkit waits for ever"
wait "$nbdkit_pid" || fail "it did not serve: $(cat start.log)"
[ "$(cat dirty)" = "[1048576]" ] || fail "dirty is $(cat dirty)"
guest_runs web1 || [ "$(virsh domstate web1 | head -n 1)" = paused ] || fail "the guest died"
wait_until 20 lab_no_keeper
lab_state web1 | diff -u before - || fail "something is left"
