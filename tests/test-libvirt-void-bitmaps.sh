#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A guest of libvirt's, running or stopped, whose backing file has lost its
# bitmaps: libvirt does not see it, for QEMU tells it of none.
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk base.qcow2 16M
lab_start
guest_define web1 base.qcow2
guest_start web1
virsh checkpoint-create-as web1 m
guest_write web1 vda "write -P 2 9M 64k"
virsh snapshot-create-as web1 snap --disk-only --no-metadata \
  --diskspec "vda,file=$tmpdir/top.qcow2"
guest_write web1 vda "write -P 3 10M 64k"
virsh checkpoint-create-as web1 later
guest_write web1 vda "write -P 4 11M 64k"
here=(libvirt="$connect" domain=web1)

# dirty NAME OPTIONS…: where that view is dirty, in MiB.
dirty ()
{
  serve "${here[@]}" view=sparse checkpoint="$@" -- 'nbdinfo --map --json "$uri"' 2>log \
    | jq -c '[.[] | select(.type == 0) | .offset / 1048576]'
}

# What cannot be looked at is told of.
mv base.qcow2 hidden.qcow2
[ "$(dirty m)" = '[9,10,11]' ] || fail "healthy: $(cat log; dirty m)"
grep -q "error: .*disk vda: it cannot be seen whether $PWD/base.qcow2.*No such" log \
  || fail "it is not said that the base is not seen: $(cat log)"
mv hidden.qcow2 base.qcow2
[ "$(dirty m)" = '[9,10,11]' ] || fail "healthy: $(cat log; dirty m)"
! grep cannot log || fail "$(cat log)"
guest_destroy web1
printf '\0' | dd of=base.qcow2 bs=1 seek=95 conv=notrunc status=none
for state in stopped running; do
  [ $state = stopped ] || guest_start web1
  refuses "NOT in this backup .on-missing=full serves it whole.: .*all bitmaps of $PWD/base.qcow2.* void .*full backup" \
    "${here[@]}" checkpoint=m
  [ "$(dirty m on-missing=full)" = '[0]' ] || fail "$state: not served whole: $(cat log; dirty m on-missing=full)"
  grep -q "error: .*disk vda is served whole: .*base.qcow2.* void" log \
    || fail "$state: it is not said why: $(cat log)"
  [ $state = stopped ] || guest_destroy web1
  # A writer that clears the sign of it, too: the document tells.
  cp base.qcow2 void.qcow2
  qemu-img check -q -r leaks base.qcow2
  [ $state = stopped ] || guest_start web1
  refuses "NOT in this backup .on-missing=full serves it whole.: .*$PWD/base.qcow2.*(lost|void)[ ;(].*full backup" \
    "${here[@]}" checkpoint=m
  [ "$(dirty m on-missing=full)" = '[0]' ] || fail "$state: not served whole: $(cat log; dirty m on-missing=full)"
  [ $state = stopped ] || guest_destroy web1
  cp void.qcow2 base.qcow2
  [ $state = stopped ] || guest_start web1
  # When this one was made, the base was older already.
  [ "$(dirty later)" = '[11]' ] || fail "$state: $(dirty later)"
done

# What held the record became a raw file of the same name.
guest_destroy web1
qemu-img convert -O raw base.qcow2 raw
mv raw base.qcow2
qemu-img rebase -u -f qcow2 -b "$PWD/base.qcow2" -F raw top.qcow2
virsh dumpxml --inactive web1 \
  | sed "/<backingStore/,/<\/backingStore>/s/format type='qcow2'/format type='raw'/" \
  >raw.xml
virsh define raw.xml
for state in stopped running; do
  [ $state = stopped ] || guest_start web1
  refuses "NOT in this backup .on-missing=full serves it whole.: .*$PWD/base.qcow2.*full backup" \
    "${here[@]}" checkpoint=m
  [ $state = stopped ] || grep -q "not qcow2 any more" refused.log \
    || fail "it is not said why"
  [ "$(dirty m on-missing=full)" = '[0]' ] || fail "$state: $(cat log; dirty m on-missing=full)"
  [ "$(dirty later)" = '[11]' ] || fail "$state: $(cat log; dirty later)"
done

# A base of another format is not taken for what its contents look like.
guest_destroy web1
mkdir other
cd other
qemu-img create -q -f qcow2 nested.qcow2 16M
qemu-img bitmap --add nested.qcow2 n
printf '\0' | dd of=nested.qcow2 bs=1 seek=95 conv=notrunc status=none
cp nested.qcow2 base.raw
truncate -s 16M base.raw
qemu-img create -q -f qcow2 -b "$PWD/base.raw" -F raw one.qcow2
guest_define web2 one.qcow2
guest_start web2
virsh checkpoint-create-as web2 n
guest_write web2 vda "write -P 3 9M 64k"
qemu-img create -q -f qcow2 -b "$PWD/base.raw" -F raw two.qcow2
virsh blockcopy web2 vda "$PWD/two.qcow2" --shallow --reuse-external --wait --pivot \
  --transient-job
here=(libvirt="$connect" domain=web2)
[ "$(dirty n)" = '[9]' ] || fail "a raw base: $(cat log)"
guest_destroy web2
cd ..

# A snapshot's name that is used again: where the first was committed to, the base
# has recorded, though by the document the disk was the snapshot.
guest_disk old.qcow2 16M
guest_define web3 old.qcow2
guest_start web3
snapshot ()
{
  virsh snapshot-create-as web3 snap --disk-only --no-metadata \
    --diskspec "vda,file=$tmpdir/nightly.qcow2"
}
snapshot
virsh checkpoint-create-as web3 m
guest_write web3 vda "write -P 2 1M 64k"
virsh blockcommit web3 vda --active --pivot --wait
rm nightly.qcow2
guest_write web3 vda "write -P 3 5M 64k"
snapshot
guest_write web3 vda "write -P 4 9M 64k"
here=(libvirt="$connect" domain=web3)
[ "$(dirty m)" = '[1,5,9]' ] || fail "healthy: $(cat log)"
guest_destroy web3
printf '\0' | dd of=old.qcow2 bs=1 seek=95 conv=notrunc status=none
for state in stopped running; do
  [ $state = stopped ] || guest_start web3
  refuses "all bitmaps of $PWD/old.qcow2.* void .*full backup" \
    "${here[@]}" checkpoint=m
done
