#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# When the server behind uri= is lost, every read and every block status fails
# with EIO, the log says why once, and nbdkit goes on and ends in an orderly
# way; also when it is lost before the first client comes.
. "$(dirname "$0")/functions.sh"

mkdir tmp
export TMPDIR=$PWD/tmp

qemu-img create -q -f qcow2 disk.qcow2 16G
qemu-img bitmap --add disk.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 1 0 1M' disk.qcow2

for when in serving before; do
  qemu-nbd -r -f qcow2 -t -e 16 -B monday -k "$PWD/qemu.sock" disk.qcow2 &
  victim=$!
  pids+=("$victim")
  wait_until 10 listens qemu.sock
  rm -f nbdkit.log
  start_nbdkit server.sock "uri=nbd+unix:///?socket=$PWD/qemu.sock"
  if [ $when = before ]; then
    kill -9 "$victim"
    wait "$victim" 2>/dev/null || :
    victim=0
  fi
  status=0
  timeout 60 "$python" "$srcdir/tests/server-gone-clients.py" server.sock \
    "$victim" || status=$?
  # Before, nobody need be let in (status 2).
  case $when$status in
    serving0 | before0 | before2) ;;
    *) fail "$when: the clients ended with $status" ;;
  esac
  [ $victim = 0 ] || wait "$victim" 2>/dev/null || :
  rm -f qemu.sock
  says_once_lost 'lost the server\|qemu.sock.*connect\|Connection refused'
done
[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
