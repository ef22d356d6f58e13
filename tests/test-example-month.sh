#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A month of examples/backup-guest, of which ten days are kept: a guest that writes,
# runs and is off, gets snapshots, crashes, loses a bitmap, gets, loses and exchanges
# disks, grows, gets another name, is migrated to another daemon (as root); backups
# that are damaged, killed and told to end.  Each day's restore by examples/restore-guest
# is that day's guest, byte by byte, and so are all that are left in the end.
# SEED=n repeats the writes and the instants.
. "$(dirname "$0")/libvirt-lab.sh"
. "$srcdir/tests/example-lab.sh"

export KEEP=10 COMPRESS
model_disk vda vda.qcow2 16M
model_disk vdb vdb.qcow2 8M
lab_start
guest_define web1 vda.qcow2 vdb.qcow2
faults=0
fault () { faults=$((faults + 1)); echo "── day $today: $1"; }

node_of ()
{
  lab_qmp "$guest" query-named-block-nodes '{"flat": true}' | jq -r \
    --arg file "$(image_of "$1")" '.[] | select(.drv == "qcow2" and .file == $file) | ."node-name"'
}
# snapshot NUMBER TARGET…: an overlay on these.
snapshot ()
{
  local number=$1 target specs=()
  shift
  for target in "${!model[@]}"; do
    case " $* " in
      *" $target "*) specs+=(--diskspec "$target,file=$tmpdir/$target.$number.qcow2") ;;
      *) specs+=(--diskspec "$target,snapshot=no") ;;
    esac
  done
  virsh snapshot-create-as "$guest" --disk-only --no-metadata "${specs[@]}"
}
# redefine SED-SCRIPT: the guest that is off.
redefine ()
{
  virsh dumpxml "$guest" --inactive >now.xml
  sed -i "$1" now.xml
  virsh define now.xml
}

# migrate: to another daemon, of which this one is told, and which knows no checkpoints;
# as an ordinary user, libvirt forgets them here.
second_pid=
migrate ()
{
  local name socket
  if [ "$(id -u)" -ne 0 ]; then
    for name in $(virsh checkpoint-list "$guest" --name); do
      virsh checkpoint-delete "$guest" "$name" --metadata
    done
    return
  fi
  cat >"$tmpdir/second.sh" <<'SECOND'
for dir in run/libvirt var/lib/libvirt var/log/libvirt var/cache/libvirt; do
  mkdir -p /$dir
  mount -t tmpfs -o mode=755 tmpfs /$dir
done
echo 'host_uuid = "00000000-1111-2222-3333-444444444444"' >/tmp/libvirtd.conf.$$
cat /etc/libvirt/libvirtd.conf >>/tmp/libvirtd.conf.$$
exec libvirtd -f /tmp/libvirtd.conf.$$ -p /run/libvirt/second.pid
SECOND
  sed -i "s,/tmp/,$tmpdir/," "$tmpdir/second.sh"
  unshare --mount --propagation unchanged bash "$tmpdir/second.sh" >"$lab/second.log" 2>&1 &
  second_pid=$!
  pids+=("$second_pid")
  socket=/proc/$second_pid/root/run/libvirt/libvirt-sock
  # Before it has mounted its own folder there, the first one would answer.
  wait_until 30 nsenter -m -r -t "$second_pid" test -e /run/libvirt/second.pid
  wait_until 30 nsenter -m -r -t "$second_pid" virsh -c "$connect" uri >/dev/null 2>&1
  virsh migrate "$guest" "qemu+unix:///system?socket=$socket" \
    --migrateuri tcp://127.0.0.1:49300 --live --persistent --undefinesource --unsafe
  in_second=(nsenter -m -r -t "$second_pid" --wdns="$PWD")
  virsh () { timeout -k 5 60 "${in_second[@]}" virsh -q -c "$connect" "$@"; }
  lab_log=/proc/$second_pid/root/var/log/libvirt/qemu
  # QEMU takes the images over once it runs.
  virsh resume "$guest"
  virsh suspend "$guest"
  [ -z "$(virsh checkpoint-list "$guest" --name)" ] || fail "the other daemon knows checkpoints"
}

for today in {1..30}; do
  day $today
  # What happens before the day's backup, which has this STATUS and REGEX.
  status=0 regex='' COMPRESS=
  case $today in
    1) regex='vd[ab] full .*vd[ab] full' ;;
    2) changes; regex='vda increment .*vdb increment' ;;
    3) guest_start web1; changes; regex='vda increment .*vdb increment' ;;
    4) fault snapshot
       changes; snapshot 1 vda; changes
       regex='vda increment .*vdb increment' ;;
    5) changes; guest_quit web1; changes; regex='vda increment .*vdb increment' ;;
    6) fault 'grown, off'
       qemu-img resize -q "$(image_of vdb)" 12M; truncate -s 12M "${model[vdb]}"
       changes; regex='vda increment .*vdb increment' ;;
    7) guest_start web1; changes; regex='vda increment .*vdb increment' ;;
    8) fault crash
       changes
       # What QEMU has not stored yet is lost.
       for disk in vda vdb; do guest_write web1 $disk flush >/dev/null; done
       guest_crash web1
       regex='vda full .*vdb full' ;;
    9) changes; guest_start web1; changes; regex='vda increment .*vdb increment' ;;
    10) fault 'a bitmap is lost'
        lab_qmp web1 block-dirty-bitmap-remove \
          "{\"node\": \"$(node_of vdb)\", \"name\": \"$point\"}"
        changes; regex='vda increment .*vdb full' ;;
    11) fault 'a disk comes'
        model_disk vdc vdc.qcow2 8M
        echo "<disk type='file' device='disk'><driver name='qemu' type='qcow2' discard='unmap'/>
          <source file='$tmpdir/vdc.qcow2'/><target dev='vdc' bus='virtio'/></disk>" >vdc.xml
        virsh attach-device web1 vdc.xml --persistent
        changes; regex='vda increment .*vdb increment .*vdc full' ;;
    12) changes; regex='vda increment .*vdb increment .*vdc increment' ;;
    13) fault 'a byte of the backup is flipped before it is verified'
        changes vda vdc; flip=vdc status=1 regex='vda increment .*vdc full.*increment of .*vdc' ;;
    14) fault 'and in the copy of all of the disk, too'
        changes; flip='vda always'; backup 2 'no backup: .*'; flip=
        regex='vda increment .*vdb increment .*vdc increment' ;;
    15) fault 'a disk goes'
        guest_quit web1; virsh detach-disk web1 vdb --config; unset 'model[vdb]'
        changes; regex='vda increment .*vdc increment' ;;
    16) fault 'it is renamed'
        for name in $(virsh checkpoint-list web1 --name); do
          virsh checkpoint-delete web1 "$name" --metadata
        done
        virsh domrename web1 web2; guest=web2
        changes; regex='vda increment .*vdc increment' ;;
    17) fault 'a disk has another target'
        redefine "s/dev='vdc'/dev='vdb'/"; model[vdb]=${model[vdc]}; unset 'model[vdc]'
        changes; regex='vda increment .*vdb full' ;;
    18) guest_start web2; changes; regex='vda increment .*vdb increment' ;;
    19) fault 'a backup is killed'
        changes; kill_a_backup KILL; changes
        regex='vda increment .*vdb increment' ;;
    20) fault 'a backup is told to end'
        changes; kill_a_backup TERM; changes
        regex='vda increment .*vdb increment' ;;
    21) fault 'yesterday'\''s backup is damaged'
        # Today's increment must not have that place.
        changes vdb; qemu-io -f qcow2 -c 'write -P 202 4100k 1k' "$kept/$point/vda.qcow2" >/dev/null
        rm "truth/$point".vda.raw
        status=1 regex='vda full .*vdb increment .*increment of .*vda' ;;
    22) fault 'disks are exchanged'
        guest_quit web2
        redefine "s/dev='vda'/dev='vdX'/; s/dev='vdb'/dev='vda'/; s/dev='vdX'/dev='vdb'/; /<address type='pci'.*slot='0x0[234]'/d"
        other=${model[vda]} model[vda]=${model[vdb]} model[vdb]=$other
        changes; regex='vda full .*vdb full' ;;
    23) fault 'the definition is made anew, and libvirt has forgotten'
        virsh dumpxml web2 --inactive >now.xml
        virsh undefine web2 --checkpoints-metadata; virsh define now.xml
        guest_start web2
        changes; regex='vda increment .*vdb increment' ;;
    24) fault 'migrated to another daemon'
        changes; migrate; changes
        regex='vda increment .*vdb increment' ;;
    25) changes; regex='vda increment .*vdb increment' ;;
    26) fault 'no agent answers'
        export QUIESCE=yes; changes; status=1 regex='not frozen' ;;
    27) unset QUIESCE; export SAMPLE=10
        changes; regex='vda increment .*vdb increment' ;;
    28) unset SAMPLE; fault snapshot
        changes; snapshot 2 vda vdb; changes; regex='vda increment .*vdb increment' ;;
    29) guest_quit web2; changes; regex='vda increment .*vdb increment' ;;
    30) export FULL=yes COMPRESS=zstd; changes; regex='vda full .*vdb full' ;;
  esac
  backup $status "$regex"
  restored "$point"
done

for point in $(cd "$kept" && ls -d backup-*); do
  restored "$point"
done
[ "$(ls -d "$kept"/backup-* | wc -l)" = 10 ] || fail "$(ls "$kept")"
[ "$(virsh checkpoint-list "$guest" --name | grep -c .)" = 10 ] || fail "other checkpoints"
echo "30 days, $runs runs, $faults faults; $compared restored disks compared, $compared_bytes bytes"
