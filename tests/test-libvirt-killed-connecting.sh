#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# nbdkit is killed when a connection is about to ask QEMU for an export, and when it
# has just got it and nbdkit does not know yet: as it starts, and as a client comes.
# A guest whose disk has an iothread lives.  (QEMU 7.2 dies where the second is
# closed before the job has ended, and hangs where the first is not.)
. "$(dirname "$0")/libvirt-lab.sh"
. "$srcdir/tests/killed-connecting.sh"

lab_start
guest_disk disk.qcow2
guest_disk other.qcow2
guest=guest
guest_iothread=virtio guest_define guest disk.qcow2 other.qcow2
guest_start guest
virsh resume guest

killed_as_a_client_comes ()
{
  local client
  export "$preload=$late"
  start_nbdkit n.sock libvirt="$connect" domain=guest create="$1"
  unset "$preload"
  touch "$LATE.$2"
  # Connections to vda are kept from the start.
  nbdinfo --map "nbd+unix:///vdb?socket=n.sock" >map 2>&1 &
  client=$!
  pids+=("$client")
  kill_when_late "nbdkit was killed as a client came ($2)"
  wait "$client" || :
}

for i in 1 2 3; do
  for instant in go ready; do
    killed_as_it_starts "start$i$instant" $instant
    killed_as_a_client_comes "client$i$instant" $instant
  done
done

# As --run forks the server, which the keeper does not know yet; its command goes on.
touch "$LATE.fork"
env "$preload=$late" nbdkit -U - "$plugin" libvirt="$connect" domain=guest \
  create=forked --run 'exec sleep 60' 2>start.log &
nbdkit_pid=$!
pids+=("$nbdkit_pid")
wait_until 30 test -e "$LATE.met"
wait_until 40 no_job guest
wait_until 20 lab_no_keeper
kill -0 "$nbdkit_pid" || fail "the command has ended, so that tells nothing"
! virsh checkpoint-info guest forked 2>/dev/null || fail "its checkpoint is left"
kill "$(pgrep -P "$nbdkit_pid" -x sleep)"
wait "$nbdkit_pid" || :

# Its chain goes on.
guest_write guest vda 'write -P 7 8M 64k' >/dev/null
serve libvirt="$connect" domain=guest disk=vda create=last -- 'nbdcopy "$uri" null:' \
  || fail "no backup after that"
guest_write guest vda 'write -P 8 16M 64k' >/dev/null
serve libvirt="$connect" domain=guest disk=vda checkpoint=last view=sparse -- \
  'nbdinfo --map --json "$uri" | jq -c "[.[] | select(.type == 0) | .offset]" >dirty' \
  || fail "no incremental backup after that"
[ "$(cat dirty)" = "[$((16 * 1048576))]" ] || fail "dirty is $(cat dirty)"
