#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Disks that have no record, since they are raw or have no bitmap: with
# on-missing=full all of each is served, beside others or alone, and said so;
# without, they are refused, with that remedy.  A raw disk is never taken for
# another, whatever a guest writes to its beginning.
. "$(dirname "$0")/functions.sh"

make_map_of
# qemu_map FILE: that of a raw disk, by QEMU's own server.
qemu_map ()
{
  qemu-nbd -t -r -f raw -k "$PWD/q.sock" "$1" &
  local qemu=$!
  pids+=($qemu)
  wait_until 20 nbdinfo --size "nbd+unix:///?socket=$PWD/q.sock" >/dev/null
  sh map_of "nbd+unix:///?socket=$PWD/q.sock"
  kill $qemu
  wait $qemu || :
}
# described REGEX LIST: that of each export but the disks themselves.
described ()
{
  jq -r '.exports[] | select(."export-name" | endswith("@") | not)
    | .description' "$2" >words
  [ -s words ] && ! grep -Ev -- "$1" words || fail "no '$1': $(cat words)"
}

guest_disk a.qcow2 16M
qemu-img bitmap --add a.qcow2 monday
truncate -s 8M b.raw
qemu-io -f raw -c 'write -q -P 2 1M 64k' -c 'write -q -P 3 7M 128k' b.raw
both=(file=vda:a.qcow2 file=vdb:b.raw format=vdb:raw)

# A full backup, and an increment of the one disk that has one.
serve "${both[@]}" on-missing=full -- '
  for disk in vda vdb; do
    qemu-img convert -f raw -O qcow2 "nbd+unix:///$disk?socket=$unixsocket" $disk.full
    qemu-img compare -q -f raw -F qcow2 "nbd+unix:///$disk@?socket=$unixsocket" $disk.full
  done
  nbdinfo --list --json "$uri" >list.json' 2>log
described ', served whole, since (nothing was recorded|no checkpoint was named); ' list.json
[ "$(jq -r '[.exports[]["export-name"]] | join(" ")' list.json)" \
  = "vda vdb vda@ vdb@" ] || fail "$(cat list.json)"
grep -q "error: disk vdb is served whole: $PWD/b.raw is raw, and only qcow2" log \
  || fail "not said: $(cat log)"
qemu-img compare -q -f qcow2 -F qcow2 a.qcow2 vda.full || fail "vda differs"
qemu-img compare -q -f raw -F qcow2 b.raw vdb.full || fail "vdb differs"
qemu-io -f qcow2 -c 'write -q -P 4 2M 64k' -c 'write -q -z 1M 64k' a.qcow2
qemu-io -f raw -c 'write -q -P 5 3M 64k' -c 'write -q -z 1M 4k' b.raw
md5sum a.qcow2 b.raw >before
serve "${both[@]}" on-missing=full checkpoint=monday -- '
  for disk in vda vdb; do
    qemu-img convert -f raw -O qcow2 -B $disk.full -F qcow2 \
      "nbd+unix:///$disk?socket=$unixsocket" $disk.next
    nbdinfo --map "nbd+unix:///$disk?socket=$unixsocket" >$disk.map
    nbdinfo --map "nbd+unix:///$disk@monday?socket=$unixsocket" | cmp $disk.map
  done
  sh map_of "nbd+unix:///vdb?socket=$unixsocket" >whole
  sh map_of "nbd+unix:///vdb@?socket=$unixsocket" >itself
  nbdinfo --list --json "$uri" >list.json' 2>log
md5sum -c --quiet before || fail "a disk was changed"
qemu-img compare -q -f qcow2 -F qcow2 a.qcow2 vda.next || fail "vda differs"
qemu-img compare -q -f raw -F qcow2 b.raw vdb.next || fail "vdb differs"
grep -Eq '^ *0 +1048576 +1 ' vda.map || fail "vda is no increment: $(cat vda.map)"
! awk '$3 == 1' vdb.map | grep . || fail "vdb is not dirty everywhere"
qemu_map b.raw >wanted
diff -u wanted whole || fail "vdb: other zeroes than QEMU's"
diff -u wanted itself || fail "vdb@: other zeroes than QEMU's"
grep -q "error: disk vdb is served whole: $PWD/b.raw is raw" log \
  || fail "not said: $(cat log)"
jq -r '.exports[] | select(."export-name" == "vdb").description' list.json \
  | grep '^disk vdb since checkpoint monday, served whole, since nothing was recorded; 8388608 bytes dirty$'
jq -r '.exports[] | select(."export-name" == "vda").description' list.json \
  | grep '^disk vda since checkpoint monday; .*; healthy$'
refuses_export 'all of each disk is served, .*start with checkpoint=monday' \
  vda@monday "${both[@]}" on-missing=full

# Alone, in each view, with a checkpoint that no disk could have and without.
for words in '' checkpoint=monday view=guard view=sparse; do
  serve b.raw format=raw on-missing=full $words -- '
    nbdcopy --no-extents "$uri" copy; nbdinfo --list --json "$uri" >list.json' 2>log
  cmp b.raw copy || fail "$words: other bytes"
  grep -q 'error: disk vda is served whole: .* is raw' log || fail "$(cat log)"
  described ', served whole, since nothing was recorded; 8388608 bytes' list.json
done

# Without it: what is typed against it, which then helps.
raw='b.raw is raw, and only qcow2 holds dirty bitmaps, .*; on-missing=full serves it whole$'
refuses "disk vda: .*$raw" b.raw format=raw
refuses "disk vda: .*$raw" b.raw format=raw checkpoint=monday
refuses "b.raw is not a qcow2 image.*; if it is a raw disk, format=raw on-missing=full serves" \
  b.raw on-missing=full
printed 'if it is a raw disk, ' ' serves'
serve b.raw $printed -- 'nbdinfo --size "$uri"' >size
[ "$(cat size)" = 8388608 ] || fail "not served with: $printed"
refuses_export "NOT in this backup: disk vdb: .*$raw" vdb "${both[@]}" checkpoint=monday
serve "${both[@]}" -- 'nbdinfo "nbd+unix:///vda?socket=$unixsocket"; nbdcopy "nbd+unix:///vdb@?socket=$unixsocket" copy' \
  2>log >info
grep 'healthy; NOT in this backup: disk vdb' info
grep -Eq "error: NOT in this backup: disk vdb: .*$raw" log || fail "$(cat log)"
cmp b.raw copy || fail "vdb@ differs"
refuses 'on-missing= goes with file=, libvirt= and qmp=; with uri=, ' \
  uri=nbd://localhost on-missing=full

# What a guest can write to a raw disk: a header that leads elsewhere.
echo secret >secret
truncate -s 1M secret
qemu-img create -q -f qcow2 -b "$PWD/secret" -F raw liar.raw 1M
truncate -s 1M liar.raw
serve liar.raw format=raw on-missing=full -- 'nbdcopy --no-extents "$uri" copy
  nbdcopy --no-extents "nbd+unix:///vda@?socket=$unixsocket" itself' 2>log
cmp liar.raw copy || fail "it was taken for a qcow2 image"
cmp liar.raw itself || fail "vda@ was taken for a qcow2 image"
grep -q "error: disk vda: $PWD/liar.raw is read as raw, as was said, but begins as a qcow2 image; " \
  log || fail "not said: $(cat log)"
if serve liar.raw format=raw -- true 2>log; then fail "it is served"; fi
grep 'error: disk vda: .*liar.raw is raw' log || fail "$(cat log)"

# A size that is no multiple of a sector is rounded up, as QEMU does.
head -c 1000000 b.raw >odd.raw
printf end >>odd.raw
qemu-img convert -f raw -O raw odd.raw wanted
serve odd.raw format=raw on-missing=full -- 'nbdcopy "$uri" copy
  nbdcopy --no-extents "nbd+unix:///vda@?socket=$unixsocket" itself'
cmp wanted copy || fail "odd.raw differs"
cmp wanted itself || fail "odd.raw: vda@ differs"

# A qcow2 image without bitmaps, without this one, or with one that is lost.
qemu-img convert -O qcow2 a.qcow2 none.qcow2
qemu-img convert -O qcow2 a.qcow2 other.qcow2
qemu-img bitmap --add other.qcow2 tuesday
qemu-img bitmap --add --disable other.qcow2 off
cp a.qcow2 void.qcow2
printf '\0' | dd of=void.qcow2 bs=1 seek=95 conv=notrunc status=none
while read -r file why; do
  refuses '.' $file checkpoint=monday
  serve $file checkpoint=monday on-missing=full -- '
    nbdinfo --list --json "$uri" >list.json
    nbdcopy --no-extents "nbd+unix:///vda?socket=$unixsocket" copy' 2>log
  grep -Eq "error: disk vda is served whole: $why" log || fail "$(cat log)"
  jq -r '.exports[0].description' list.json \
    | grep '^disk vda since checkpoint monday, served whole, since nothing was recorded; 16777216 '
  qemu-img compare -q -f raw -F qcow2 copy a.qcow2 || fail "$file differs"
  # A neighbour's increment stays one.
  serve vda:$file vdb:a.qcow2 checkpoint=monday on-missing=full -- \
    'nbdinfo "nbd+unix:///vda?socket=$unixsocket"; nbdinfo --map "nbd+unix:///vdb?socket=$unixsocket" >map' \
    2>log >info
  grep -q 'disk vda since checkpoint monday, served whole' info || fail "$(cat info)"
  grep -Eq '^ *0 +1048576 +1 ' map || fail "beside $file: $(cat map)"
done <<'END'
none.qcow2 bitmap monday is not in .*none.qcow2 .*there are: none
other.qcow2 bitmap monday is not in .*other.qcow2 .*there are: .*tuesday
void.qcow2 all bitmaps of .*void.qcow2 are void
END
serve other.qcow2 checkpoint=off on-missing=full -- 'nbdinfo "$uri"' 2>log >info
grep -q 'error: disk vda is served whole: the bitmap of .* is not recording' log \
  || fail "$(cat log)"
# With documents, a checkpoint that none tells of is a typing error.
mkdir tree
echo '<domaincheckpoint><name>monday</name><disks><disk name="vda"
  checkpoint="bitmap" bitmap="monday"/></disks></domaincheckpoint>' >tree/monday.xml
refuses 'there is no checkpoint mondya; known are: monday' \
  a.qcow2 tree=tree checkpoint=mondya on-missing=full

# Nobody writes meanwhile, and nobody is written under.
serve b.raw format=raw on-missing=full -- '
  ! qemu-io -f raw -c "write -q 0 4k" b.raw 2>lock.log || exit 7'
grep -q lock lock.log || fail "it could be written to: $(cat lock.log)"
mkfifo commands
qemu-io -f raw b.raw <commands >/dev/null &
pids+=($!)
exec 7>commands
wait_until 10 is_written b.raw
refuses "$PWD/b.raw is in use" b.raw format=raw on-missing=full
exec 7>&-
wait $!

# A block device, such as a logical volume.
loop=
if [ "$(id -u)" -eq 0 ] && loop=$(losetup -r -f --show b.raw 2>/dev/null); then
  end_loop ()
  {
    local status=$?
    set +e
    losetup -d "$loop"
    (exit $status)
    cleanup
  }
  trap end_loop EXIT
  serve "$loop" format=raw on-missing=full -- '
    nbdcopy --no-extents "$uri" copy; nbdinfo "$uri"' >info
  cmp b.raw copy || fail "the device differs"
  grep 'served whole, since nothing was recorded; 8388608 ' info
  serve vda:a.qcow2 vdb:"$loop" format=vdb:raw on-missing=full checkpoint=monday \
    -- 'nbdcopy "nbd+unix:///vdb?socket=$unixsocket" copy'
  cmp b.raw copy || fail "the device differs beside vda"
fi

# So is qcow2 of version 2, which can hold no bitmap.
qemu-img create -q -f qcow2 -o compat=0.10 old.qcow2 4M
qemu-io -f qcow2 -c 'write -q -P 6 1M 64k' old.qcow2
refuses 'qcow2 version 2' old.qcow2
serve old.qcow2 on-missing=full -- '
  nbdinfo --map "$uri" | awk "\$3 == 1" >clean
  qemu-img convert -f raw -O raw "$uri" old.raw' 2>log
qemu-img compare -q -f qcow2 -F raw old.qcow2 old.raw
[ ! -s clean ] || fail "not dirty everywhere: $(cat clean)"
grep -q 'error: disk vda is served whole: ' log || fail "not said: $(cat log)"
