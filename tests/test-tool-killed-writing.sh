#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint, killed at any instant of create or delete, on two disks with
# chains: the bitmaps are on both or on none, no other is lost, nothing of ours is
# left; and where bitmaps and documents do not agree, check says so, and mends it.
# SEED=n ROUNDS=m.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/bitmaps.sh"
mkdir tmp tree
export TMPDIR=$PWD/tmp

seed=${SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
rounds=$(rounds 24)
echo "repeat with: SEED=$seed ROUNDS=$rounds $0"
RANDOM=$seed

source=(--file=vda:a.qcow2 --file=vdb:b.qcow2 --tree=tree)
for disk in a b; do
  qemu-img create -q -f qcow2 $disk-base.qcow2 16G
done
"$tool" create old --file=vda:a-base.qcow2 --file=vdb:b-base.qcow2 --tree=tree
for disk in a b; do
  qemu-io -f qcow2 -c 'write -q -z 0 1G' $disk-base.qcow2
  qemu-img create -q -f qcow2 -b $disk-base.qcow2 -F qcow2 $disk.qcow2
  qemu-img bitmap --add $disk.qcow2 old
done
bitmaps a.qcow2 b.qcow2 >none
start=${EPOCHREALTIME/[.,]/}
"$tool" create new "${source[@]}" >/dev/null
took=$((${EPOCHREALTIME/[.,]/} - start))
bitmaps a.qcow2 b.qcow2 >both
[ "$(comm -13 none both | wc -l)" -eq 2 ] || fail "it has made $(cat both)"

mended=0
for ((round = 0; round < rounds; round++)); do
  what=delete
  [ -e tree/new.xml ] || what=create
  cut_short qemu-checkpoint "$tool" $what new "${source[@]}" >said
  bitmaps a.qcow2 b.qcow2 >now
  has=none
  cmp -s none now || has=both
  cmp $has now || fail "round $round, $what, status $status: $(cat now)"
  find tree -type f ! -name new.xml ! -name old.xml >odd
  [ ! -s odd ] || fail "left: $(cat odd)"
  agrees=0
  [ -e tree/new.xml ] || [ $has = none ] || agrees=1
  [ ! -e tree/new.xml ] || [ $has = both ] || agrees=1
  ! grep -q . said || [ $agrees -eq 0 ] || fail "it said: $(cat said)"
  [ $agrees -eq 1 ] || continue
  "$tool" check "${source[@]}" >found && fail "nothing was found" || :
  grep -Eq ' new$' found || fail "not found, but: $(cat found)"
  "$tool" check --fix --yes "${source[@]}" >mended 2>&1 || :
  bitmaps a.qcow2 b.qcow2 >now
  has=none
  cmp -s none now || has=both
  { [ -e tree/new.xml ] && [ $has = both ]; } \
    || { [ ! -e tree/new.xml ] && [ $has = none ]; } \
    || fail "not mended: $(cat found mended now)"
  mended=$((mended + 1))
done
echo "$died of $rounds were killed, $mended of them between bitmaps and document"
[ $died -gt 0 ] || fail "none was killed"
"$tool" list "${source[@]}" >/dev/null
[ -z "$(ls tmp)" ] || fail "left over: $(ls tmp)"
for image in ./*.qcow2; do
  qemu-img check -q -f qcow2 "$image" || fail "$image is damaged"
done
