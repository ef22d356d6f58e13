#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Ctrl-C in a command that reads a guest that runs: the backup job that it began ends
# with it, told once or twice or killed, and the next one can begin.
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk vda.qcow2
lab_start
guest_define web1 vda.qcow2
guest_start web1
virsh checkpoint-create-as web1 monday
guest_write web1 vda "write -P 2 1M 64k"
of=(--libvirt="$connect" --domain=web1)
# A backup that is far away.
head -c 64M < <(yes) >raw
nbdkit -f -U "$PWD/slow.sock" -P slow.pid --filter=delay -r file raw \
  delay-read=500ms 2>slow.log &
pids+=($!)
wait_until 20 test -s slow.pid
slow="nbd+unix:///?socket=$PWD/slow.sock"
qemu-img create -q -f qcow2 -u -b "$slow" -F raw backup.qcow2 64M
lab_state web1 >before

for signal in INT TERM HUP KILL; do
  case $signal in INT) wanted=130 ;; TERM) wanted=143 ;; HUP) wanted=129 ;;
    KILL) wanted=137 ;; esac
  status=0
  bounded "$python" "$srcdir/tests/terminal.py" --quit-at 'verifying: ' $signal \
    "$tool" verify backup.qcow2 --full "${of[@]}" \
    --backing="$slow" >screen || status=$?
  cat screen
  [ $status = $wanted ] || fail "$signal: it ended with $status"
  [ $signal != KILL ] || wait_until 20 no_job web1
  wait_until 20 no_keeper
  lab_state web1 | diff -u before - || fail "$signal: something is left"
done
leaves_nothing
