#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# nbdkit is killed when a connection is about to ask QEMU for an export, and when it
# has just got it and nbdkit does not know yet: as it starts, and as a client comes.
# A guest whose disk has an iothread lives.  (QEMU 7.2 dies where the second is
# closed before the job has ended, and hangs where the first is not.)
. "$(dirname "$0")/libvirt-lab.sh"

late=$(realpath "$builddir")/tests/.libs/late-ready.so
export LATE=$tmpdir/late
# A sanitizer's runtime must come first.
case $sanitizers in '') preload=LD_PRELOAD ;; *) preload=NBDKIT_PRELOAD ;; esac
lab_start
guest_disk disk.qcow2
guest_disk other.qcow2
guest_iothread=virtio guest_define guest disk.qcow2 other.qcow2
guest_start guest
virsh resume guest

kill_when_late ()
{
  wait_until 30 test -e "$LATE.met"
  kill -KILL "$nbdkit_pid"
  wait "$nbdkit_pid" || :
  rm "$LATE.met"
  wait_until 20 no_job guest
  [[ $(virsh domstate guest) == running* ]] || fail "the guest died: $1"
  wait_until 20 lab_no_keeper
}

lab_no_keeper () { ! lab_find_keeper; }

# killed_as_it_starts CHECKPOINT INSTANT
killed_as_it_starts ()
{
  touch "$LATE.$2"
  env "$preload=$late" nbdkit -f -U n.sock "$plugin" libvirt="$connect" \
    domain=guest create="$1" 2>start.log &
  nbdkit_pid=$!
  pids+=("$nbdkit_pid")
  kill_when_late "nbdkit was killed as it started ($2)"
  ! virsh checkpoint-info guest "$1" 2>/dev/null \
    || fail "$1 is left, of a start that served nothing"
}

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

# Its chain goes on.
guest_write guest vda 'write -P 7 8M 64k' >/dev/null
serve libvirt="$connect" domain=guest disk=vda create=last -- 'nbdcopy "$uri" null:' \
  || fail "no backup after that"
guest_write guest vda 'write -P 8 16M 64k' >/dev/null
serve libvirt="$connect" domain=guest disk=vda checkpoint=last view=sparse -- \
  'nbdinfo --map --json "$uri" | jq -c "[.[] | select(.type == 0) | .offset]" >dirty' \
  || fail "no incremental backup after that"
[ "$(cat dirty)" = "[$((16 * 1048576))]" ] || fail "dirty is $(cat dirty)"
