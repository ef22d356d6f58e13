#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# nbdkit is killed when QEMU has just given a connection its export, and nbdkit
# does not know it yet: as it starts, and as a client comes.  A guest whose disk
# has an iothread lives (QEMU 7.2 dies where such a connection is closed before
# the job has ended).
. "$(dirname "$0")/libvirt-lab.sh"

late=$(realpath "$builddir")/tests/.libs/late-ready.so
export LATE_READY=$tmpdir/late
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
  wait_until 30 test -e "$LATE_READY.met"
  kill -KILL "$nbdkit_pid"
  wait "$nbdkit_pid" || :
  rm "$LATE_READY.met"
  wait_until 20 no_job guest
  [[ $(virsh domstate guest) == running* ]] || fail "the guest died: $1"
}

for i in 1 2 3; do
  touch "$LATE_READY"
  env "$preload=$late" nbdkit -f -U n.sock "$plugin" libvirt="$connect" \
    domain=guest create="start$i" 2>start.log &
  nbdkit_pid=$!
  pids+=("$nbdkit_pid")
  kill_when_late "nbdkit was killed as it started"
  ! virsh checkpoint-info guest "start$i" 2>/dev/null \
    || fail "start$i is left, of a start that served nothing"

  export "$preload=$late"
  start_nbdkit n.sock libvirt="$connect" domain=guest create="client$i"
  unset "$preload"
  touch "$LATE_READY"
  # Connections to vda are kept from the start.
  nbdinfo --map "nbd+unix:///vdb?socket=n.sock" >map 2>&1 &
  client=$!
  pids+=("$client")
  kill_when_late "nbdkit was killed as a client came"
  wait "$client" || :
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
