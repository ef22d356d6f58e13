#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# bitmap= with file=: a bitmap that somebody names, such as a disabled copy that
# was merged by hand, is taken as it stood, and that is said; what is missing,
# void or inconsistent is refused as ever.
. "$(dirname "$0")/functions.sh"

# The copy: what was written from monday to the moment it was made.
guest_disk base.qcow2 16M
qemu-img bitmap --add base.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 2 1M 64k' -c 'write -q -z 3M 64k' base.qcow2
qemu-img bitmap --add --disable base.qcow2 copy
qemu-img bitmap --merge monday base.qcow2 copy
qemu-io -f qcow2 -c 'write -q -P 3 5M 64k' base.qcow2
as_it_stood='bitmap copy, named by hand, as it stood: what was written after it was disabled is not in it'
warning="error: disk vda: bitmap copy in $PWD/base.qcow2 is disabled, and is served as it stood"

# dirty_of MAP: of nbdinfo --map --json, as qemu_dirty.
dirty_of ()
{
  jq -r '.[] | select(.type != 3) | "\(.offset) \(.length)"' "$1" | join_ranges
}

refuses 'bitmap of checkpoint copy in .* is not recording' base.qcow2 checkpoint=copy
qemu_dirty base.qcow2 copy >wanted
for name in copy monday last_week; do
  words=(bitmap=copy)
  [ $name = copy ] || words+=(checkpoint=$name)
  serve base.qcow2 view=sparse "${words[@]}" -- '
    nbdinfo --map --json "$uri" >map.json
    nbdinfo --list --json "$uri" >list.json' 2>log
  dirty_of map.json | diff -u wanted - || fail "$name: other blocks than the bitmap's"
  [ "$(jq -r '[.exports[]["export-name"]] | join(" ")' list.json)" \
    = "vda vda@$name vda@" ] || fail "$name: $(cat list.json)"
  jq -r '.exports[0].description' list.json \
    | grep "^disk vda since checkpoint $name; 131072 bytes dirty, granularity 65536; $as_it_stood\$"
  ! grep -q healthy list.json || fail "$name: it is called healthy"
  [ "$(grep -c error log)" -eq 1 ] && grep -q "$warning" log \
    || fail "$name: the warning is: $(cat log)"
done

# One that records is as good as ever, and none is warned of.
serve base.qcow2 bitmap=monday checkpoint=sunday -- 'nbdinfo "$uri"' 2>log >info
grep 'disk vda since checkpoint sunday; 196608 bytes dirty, .*; healthy \[view ' info
! grep . log || fail "a warning"

# Layers above it count by what is allocated there; who unites them is told, too.
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
qemu-io -f qcow2 -c 'write -q -P 4 7M 64k' top.qcow2
{ echo 7340032 65536; cat wanted; } | sort -n >union
nbdkit_options=(--filter="$filter")
serve top.qcow2 view=sparse bitmap=copy -- '
  nbdinfo --map --json "$uri" >map.json
  nbdinfo --list "$uri" >list
  nbdinfo "$uri" >info' 2>log
nbdkit_options=()
dirty_of map.json | diff -u union - || fail "with a layer above it"
for file in list info; do
  grep -q "2 parts united.*; $as_it_stood" $file || fail "$file: $(cat $file)"
done
grep -q "$warning" log || fail "no warning: $(cat log)"

# In every layer that has it; and several are united.
qemu-img bitmap --add --disable top.qcow2 copy
qemu-img bitmap --add base.qcow2 late
qemu-io -f qcow2 -c 'write -q -P 5 9M 64k' top.qcow2
nbdkit_options=(--filter="$filter")
serve top.qcow2 view=sparse bitmap=copy -- 'nbdinfo --map --json "$uri" >map.json' 2>log
dirty_of map.json | diff -u wanted - || fail "the top layer's copy is empty"
[ "$(grep -c 'is disabled, and is served as it stood' log)" = 2 ] || fail "$(cat log)"
serve base.qcow2 view=sparse bitmap=copy bitmap=late checkpoint=x -- '
  nbdinfo --map --json "$uri" >map.json; nbdinfo "$uri" >info' 2>log
dirty_of map.json | diff -u wanted - || fail "two bitmaps"
grep -q "since checkpoint x, to be united.*; $as_it_stood" info || fail "$(cat info)"
nbdkit_options=()

# Of several disks, those that have it.
guest_disk other.qcow2 8M
qemu-img bitmap --add other.qcow2 tuesday
gone="disk vdb: bitmap copy is not in $PWD/other.qcow2 nor below it; there are: tuesday"
refuses "disk vda: bitmap copy is not in .*; there are: tuesday" other.qcow2 bitmap=copy
refuses_export "NOT in this backup .on-missing=full serves it whole.: $gone" \
  vdb base.qcow2 other.qcow2 bitmap=copy
serve base.qcow2 other.qcow2 bitmap=copy -- \
  'nbdinfo "nbd+unix:///vda?socket=$unixsocket"' 2>log >info
grep -q "error: NOT in this backup: $gone" log || fail "$(cat log)"
grep "$as_it_stood; NOT in this backup: disk vdb" info
# It is there as it is, beside the other.
serve base.qcow2 other.qcow2 bitmap=copy -- \
  'nbdinfo "nbd+unix:///vda@?socket=$unixsocket"
   nbdinfo "nbd+unix:///vdb@?socket=$unixsocket"' 2>log >info
[ "$(grep -c 'the whole disk vd' info)" = 2 ] || fail "$(cat info log)"
! grep 'NOT in this' info || fail "vdb@ is served"
serve base.qcow2 other.qcow2 bitmap=copy on-missing=full -- \
  'nbdinfo "nbd+unix:///vdb@copy?socket=$unixsocket"' 2>log >info
grep -q "error: disk vdb is served whole: ${gone#disk vdb: }" log || fail "$(cat log)"
grep 'disk vdb since checkpoint copy, served whole, ' info

# Not to be trusted, whoever names it.
cp base.qcow2 void.qcow2
printf '\0' | dd of=void.qcow2 bs=1 seek=95 conv=notrunc status=none
refuses 'all bitmaps of .*/void.qcow2 are void' void.qcow2 bitmap=copy
qemu-img create -q -f qcow2 -b void.qcow2 -F qcow2 above.qcow2
qemu-img bitmap --add --disable above.qcow2 copy
refuses 'all bitmaps of .*/void.qcow2 are void' above.qcow2 bitmap=copy
# Several: what one of them may have lost below.
qemu-img bitmap --add above.qcow2 new
refuses 'all bitmaps of .*/void.qcow2 are void' above.qcow2 bitmap=new bitmap=copy
cp other.qcow2 killed.qcow2
kill_writer killed.qcow2
refuses 'bitmap tuesday in .* is inconsistent' killed.qcow2 bitmap=tuesday

# With documents, what the view is called must be known, and the disk be the same.
document ()
{
  cat <<END
<domaincheckpoint><name>monday</name><creationTime>1600000000</creationTime>
  <disks><disk name='$1' checkpoint='bitmap' bitmap='monday'/></disks>
  <domain type='qemu'><name>web1</name><devices><disk type='file'>
    <source file='$PWD/base.qcow2'/><target dev='$1'/></disk></devices></domain>
</domaincheckpoint>
END
}
mkdir tree
document vda >tree/monday.xml
refuses 'there is no checkpoint sunday; known are: monday' \
  base.qcow2 tree=tree bitmap=copy checkpoint=sunday
serve base.qcow2 tree=tree bitmap=copy checkpoint=monday -- 'nbdinfo "$uri"' 2>log >info
grep "disk vda since checkpoint monday of 2020-09-13T12:26:40Z; .*; $as_it_stood" info
document vdc >tree/monday.xml
refuses 'disk vda (is not the disk that it was|was vdc) at checkpoint monday' \
  vda:base.qcow2 tree=tree bitmap=copy checkpoint=monday

refuses 'bitmap= goes with file= and uri=; with libvirt=, name a checkpoint, ' \
  libvirt=test:///default domain=test bitmap=copy
