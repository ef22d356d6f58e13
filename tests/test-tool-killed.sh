#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint, killed at any instant, leaves no daemon, no folder, no lock, and
# the images as they were.  SEED=n ROUNDS=m.
. "$(dirname "$0")/functions.sh"
mkdir tmp
export TMPDIR=$PWD/tmp

seed=${SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
rounds=$(rounds 40)
echo "repeat with: SEED=$seed ROUNDS=$rounds $0"
RANDOM=$seed

guest_layers
sha256sum ./*.qcow2 >before
start=${EPOCHREALTIME/[.,]/}
"$tool" list --size --file=top.qcow2 >whole
took=$((${EPOCHREALTIME/[.,]/} - start))
died=0
for ((round = 0; round < rounds; round++)); do
  signal=$(((RANDOM % 3) + 1))
  set -- KILL TERM INT
  began=${EPOCHREALTIME/[.,]/}
  "$tool" list --size --file=top.qcow2 >got 2>log &
  pid=$!
  sleep "$(printf '0.%06d' $((RANDOM * took / 32768 % 1000000)))"
  kill -"${!signal}" $pid 2>/dev/null || :
  status=0
  wait $pid 2>/dev/null || status=$?
  # It may have been measured while the machine was busy.
  now=$((${EPOCHREALTIME/[.,]/} - began))
  [ $status -ne 0 ] || [ $now -ge $took ] || took=$now
  [ $status -eq 0 ] || died=$((died + 1))
  # A shell's background command ignores SIGINT.
  [ $status -eq 0 ] || [ $status -gt 128 ] || fail "status $status: $(cat log)"
  [ $status -ne 0 ] || cmp -s whole got || fail "it ended well with: $(cat got)"
  leaves_nothing
done
echo "$died of $rounds were killed"
[ $died -gt 0 ] || fail "none was killed"
# The next start sweeps what SIGKILL may have left of a moment's folder.
"$tool" list --size --file=top.qcow2 | diff -u whole -
[ -z "$(ls tmp)" ] || fail "left over: $(ls tmp)"
sha256sum --quiet -c before || fail "an image was changed"
qemu-io -f qcow2 -c 'write -q -P 9 0 64k' top.qcow2 || fail "it is still locked"
