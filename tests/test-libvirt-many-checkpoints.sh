#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# More checkpoints than are read of libvirt in one part: each is offered, since
# its parent, while others come and go.
. "$(dirname "$0")/libvirt-lab.sh"

count=103                       # PART of checkpoints.c is 16
guest_disk vda.qcow2 8M
lab_start
guest_define web1 vda.qcow2
guest_start web1
for ((i = 1; i <= count; i++)); do
  echo "checkpoint-create-as web1 c$i"
done >commands
virsh <commands >/dev/null

names ()
{
  serve libvirt="$connect" domain=web1 "$@" -- 'nbdinfo --list "$uri"' \
    | sed -n 's/^export="vda@\(..*\)":$/\1/p' | sort
}
names >got
for ((i = 1; i <= count; i++)); do echo "c$i"; done | sort >wanted
diff -u wanted got || fail "not all checkpoints are offered"

# One that is deleted as they are read is no failure.
for ((i = count; i > count - 40; i--)); do
  echo "checkpoint-delete web1 c$i"
done >commands
virsh <commands >/dev/null &
deleting=$!
pids+=($deleting)
while kill -0 $deleting 2>/dev/null; do
  names >got
  for name in c1 c2 c$((count - 40)); do
    grep -qx $name got || fail "$name is not offered while others are deleted"
  done
done
wait $deleting
names >got
[ "$(wc -l <got)" -eq $((count - 40)) ] || fail "$(wc -l <got) are offered"
