#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Who changes bitmaps of two disks is killed at any instant, in any way: all that is
# there then is what was before, or what was to be, on all layers of both disks;
# nothing is inconsistent, locked or left.  SEED=n ROUNDS=m.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/bitmaps.sh"
mkdir tmp
export TMPDIR=$PWD/tmp

seed=${SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
rounds=$(rounds 32)
echo "repeat with: SEED=$seed ROUNDS=$rounds $0"
RANDOM=$seed

# Small grains, so that storing takes a while.
for disk in a b; do
  qemu-img create -q -f qcow2 $disk-base.qcow2 4G
  qemu-img bitmap --add -g 512 $disk-base.qcow2 old
  qemu-img bitmap --add $disk-base.qcow2 other
  qemu-io -f qcow2 -c 'write -q -z 0 1G' -c 'write -q -z 2G 1G' \
    $disk-base.qcow2
  qemu-img create -q -f qcow2 -b $disk-base.qcow2 -F qcow2 $disk.qcow2
  qemu-img bitmap --add -g 512 $disk.qcow2 old
  qemu-img bitmap --add $disk.qcow2 other
  qemu-io -f qcow2 -c 'write -q -P 1 1M 64k' $disk.qcow2
done

# What leads from one state to another; 0 is as it was made.
to_1=(add,vda,0,new add,vdb,0,new)
from_1=(remove,vda,0,new remove,vdb,0,new)
to_2=(add,vda,0,new remove,vda,0,old remove,vda,1,old
      remove,vdb,0,old remove,vdb,1,old add,vdb,0,new)
from_2=(remove,vda,0,new add,vda,0,old,512 add,vda,1,old,512
        add,vdb,0,old,512 add,vdb,1,old,512 remove,vdb,0,new)

bitmaps a.qcow2 b.qcow2 >state0
for next in 1 2; do
  declare -n there=to_$next back=from_$next
  start=${EPOCHREALTIME/[.,]/}
  "$change" a.qcow2 b.qcow2 -- "${there[@]}"
  took=$((${EPOCHREALTIME/[.,]/} - start))
  bitmaps a.qcow2 b.qcow2 >state$next
  ! cmp -s state0 state$next || fail "nothing was changed: $(cat state0)"
  "$change" a.qcow2 b.qcow2 -- "${back[@]}"
  bitmaps a.qcow2 b.qcow2 | diff -u state0 -
done

state=0 done=0
for ((round = 0; round < rounds; round++)); do
  next=0
  [ $state -ne 0 ] || next=$((round % 2 + 1))
  declare -n what=$([ $state -eq 0 ] && echo to_$next || echo from_$state)
  cut_short change-bitmaps "$change" a.qcow2 b.qcow2 -- "${what[@]}"
  bitmaps a.qcow2 b.qcow2 >now
  if cmp -s now state$next; then
    state=$next
    [ $status -eq 0 ] || done=$((done + 1))
  elif ! cmp -s now state$state; then
    fail "round $round, status $status, ${what[*]}:" \
      "$(diff -u state$state now) $(diff -u state$next now)"
  elif [ $status -eq 0 ]; then
    fail "it ended well, and nothing was changed"
  fi
done
echo "$died of $rounds were killed, $done of them had what was to be stored"
[ $died -gt 0 ] || fail "none was killed"
[ -z "$(ls tmp)" ] || "$change" a.qcow2 -- # sweeps what SIGKILL has left
[ -z "$(ls tmp)" ] || fail "left over: $(ls tmp)"
for image in ./*.qcow2; do
  qemu-img check -q -f qcow2 "$image" || fail "$image is damaged"
done

# The storage daemon killed: bitmaps of an image that was written to may be
# inconsistent, and this is said; of no other, and no bitmap is half there.
cp state$state before
for ((round = 0; round < rounds / 5; round++)); do
  rm -rf copies
  mkdir copies
  cp ./*.qcow2 copies
  next=0
  [ $state -ne 0 ] || next=$((round % 2 + 1))
  declare -n what=$([ $state -eq 0 ] && echo to_$next || echo from_$state)
  "$change" a.qcow2 b.qcow2 -- "${what[@]}" 2>log &
  pid=$!
  sleep "$(printf '0.%06d' $((RANDOM * took / 32768 % 1000000)))"
  for daemon in $(pgrep -f '^qemu-storage-daemon --chardev stdio,id=qmp' || :); do
    ! is_ours "$daemon" || kill -KILL "$daemon" 2>/dev/null || :
  done
  status=0
  wait $pid || status=$?
  leaves_nothing
  wait_until 10 no_reminder change-bitmaps
  cat log
  bitmaps a.qcow2 b.qcow2 >now 2>void
  sed 's/ in-use$//' now | sort -u >plain
  comm -23 plain <(sort -u before state$next) >strange
  [ ! -s strange ] || fail "there is $(cat strange)"
  if grep -q ' in-use' now; then
    [ $status -eq 1 ] || fail "it ended well, and $(cat now)"
    grep -Eq 'is inconsistent|all bitmaps are void' log || fail "it is not said that $(cat now)"
  elif grep -q 'all bitmaps are now' void; then
    grep -q 'all bitmaps are void' log || fail "it is not said what is void"
  elif [ $status -eq 0 ]; then
    cmp now state$next
  fi
  cp copies/*.qcow2 .
done
