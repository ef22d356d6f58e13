#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A qcow2 image whose data lie in a file or block device of their own, raw ones
# included, is served like any other; that file is locked like a layer, and read
# directly.  One that is missing, too short, written to, or elsewhere is refused.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/image-kinds.sh"

mkdir tmp
export TMPDIR=$PWD/tmp

# disk NAME KIND RAW [OPTION…]: with some history since the bitmap monday, and
# $name-monday.raw.  The first cluster that is written gets the first of the data
# file, unless it is raw.
disk ()
{
  local name=$1 kind=$2 raw=$3
  shift 3
  place "$kind" "$name.data" 16M
  qemu-img create -q -f qcow2 -o "data_file=$place,data_file_raw=$raw" "$@" \
    "$name.qcow2" 16M
  qemu-io -f qcow2 -c 'write -q -P 1 5M 1M' -c 'write -q -P 2 0 2M' \
    -c 'write -q -z 8M 128k' "$name.qcow2"
  qemu-img bitmap --add "$name.qcow2" monday
  raw_copy "$name-monday.raw" "$name.qcow2"
  qemu-io -f qcow2 -d unmap -c 'write -q -P 3 100k 300k' \
    -c 'write -q -z 5M 128k' -c 'discard -q 1M 128k' \
    -c 'write -q -P 4 15M 64k' -c 'write -q -P 0 12M 64k' "$name.qcow2"
}

for kind in "${file_kinds[@]}"; do
  for raw in on off; do
    name=$kind-$raw
    disk "$name" "$kind" $raw
    raw_copy "$name.raw" "$name.qcow2"
    bitmap_ranges monday "$name.qcow2" >dirty
    md5sum "$name.qcow2" "$place" >before
    served_right "$name" "$name.raw" dirty "$name-monday.raw" "$name.qcow2"
    # Exactly the bitmap.
    diff -u <(join_ranges <dirty) got || fail "$name: another map"
    served_right "$name, cache=none" "$name.raw" dirty "$name-monday.raw" \
      "$name.qcow2" cache=none
    # Where the first cluster of the data file is, and elsewhere.
    reads_alone $((5 << 20 | 512 << 10)) 1 "$name.qcow2"
    reads_alone $((512 << 10)) 2 "$name.qcow2"
    reads_alone $((12 << 20)) 0 "$name.qcow2"
    reads_alone $((15 << 20)) 4 "$name.qcow2" cache=none
    md5sum -c --quiet before || fail "$name: changed"
  done
done

# Below others, and above: both have bitmaps, the one between has none.
for kind in "${file_kinds[@]}"; do
  for raw in on off; do
    disk base "$kind" $raw
    qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 middle.qcow2 16M
    qemu-io -f qcow2 -c 'write -q -P 5 2M 64k' -c 'write -q -z 3M 64k' \
      middle.qcow2
    # Only one that is not raw can have a backing file.
    place "$kind" top.data 20M
    qemu-img create -q -f qcow2 -b middle.qcow2 -F qcow2 \
      -o "data_file=$place,data_file_raw=off" top.qcow2 20M
    qemu-img bitmap --add top.qcow2 monday
    qemu-io -f qcow2 -c 'write -q -P 6 6M 64k' -c 'write -q -P 7 18M 64k' \
      -c 'write -q -z 0 64k' top.qcow2
    raw_copy top.raw top.qcow2
    {
      bitmap_ranges monday top.qcow2
      bitmap_ranges monday base.qcow2
      allocated middle.qcow2
    } >dirty
    served_right "chain of $kind, raw=$raw" top.raw dirty base-monday.raw \
      top.qcow2
    reads_alone $((6 << 20)) 6 top.qcow2
    reads_alone $((512 << 10)) 2 top.qcow2
  done
done

# Subclusters are read directly, with a data file, too.
place file sub.data 4M
qemu-img create -q -f qcow2 -o "data_file=$place,extended_l2=on" sub.qcow2 4M
qemu-img bitmap --add sub.qcow2 monday
truncate -s 4M sub-monday.raw
qemu-io -f qcow2 -c 'write -q -P 1 4k 6k' -c 'write -q -P 2 1M 192k' sub.qcow2
raw_copy sub.raw sub.qcow2
bitmap_ranges monday sub.qcow2 >dirty
served_right subclusters sub.raw dirty sub-monday.raw sub.qcow2
reads_alone $((1 << 20)) 2 sub.qcow2
reads_alone $((2 << 20)) 0 sub.qcow2 cache=none

# An image that grew, and its data file with it.
for raw in on off; do
  disk grown file $raw
  qemu-img resize -q -f qcow2 grown.qcow2 $(((20 << 20) + 512))
  raw_copy grown.raw grown.qcow2
  bitmap_ranges monday grown.qcow2 >dirty
  served_right "grown, raw=$raw" grown.raw dirty grown-monday.raw grown.qcow2
done

# A larger device, as a logical volume may be; its rest is no part of the disk.
# A file is made as large as the disk, so another size is another file.
for kind in "${file_kinds[@]}"; do
  for raw in on off; do
    place "$kind" large.data 24M
    qemu-img create -q -f qcow2 -o "data_file=$place,data_file_raw=$raw" \
      large.qcow2 16M
    qemu-img bitmap --add large.qcow2 monday
    truncate -s 16M large-monday.raw
    qemu-io -f qcow2 -c 'write -q -P 1 15M 1M' large.qcow2
    [ "$kind" = block ] || truncate -s 24M large.data
    qemu-io -f raw -c 'write -q -P 9 16M 1M' "$place"
    if [ "$kind" = file ]; then
      refuses "$place is not what was written" large.qcow2
      continue
    fi
    raw_copy large.raw large.qcow2
    bitmap_ranges monday large.qcow2 >dirty
    served_right "a larger device" large.raw dirty large-monday.raw large.qcow2
  done
done

# While it is served nobody can write to it, but all can read.
can_write () { qemu-io -f "$2" -c 'write -q 0 64k' "$1" 2>/dev/null; }
for kind in "${file_kinds[@]}"; do
  for raw in on off; do
    name=$kind-$raw
    data=$(qemu-img info --output=json "$name.qcow2" \
             | jq -r '."format-specific".data."data-file"')
    md5sum "$name.qcow2" "$data" >before
    start_nbdkit server.sock "$name.qcow2"
    ! can_write "$data" raw || fail "$name: its data file was written to"
    ! can_write "$name.qcow2" qcow2 || fail "$name was written to"
    ! qemu-img resize -q -f qcow2 --shrink "$name.qcow2" 8M 2>/dev/null \
      || fail "$name was shrunk"
    qemu-io -r -f raw -c 'read -q 0 64k' "$data"
    qemu-io -r -f qcow2 -c 'read -q 0 64k' "$name.qcow2"
    # A second server is as good.
    serve "$name.qcow2" -- 'nbdinfo --size "$uri"'
    # QEMU's lock alone ends with it, and before its connections.
    find_daemon "$nbdkit_pid"
    kill -STOP "$daemon"
    ! can_write "$data" raw || fail "$name: written to"
    kill -KILL "$daemon"
    ! can_write "$data" raw || fail "$name: written to without the daemon"
    stop_nbdkit
    leaves_nothing
    md5sum -c --quiet before || fail "$name: changed"

    # One that is open for writing, by itself or with its image, is refused.
    rm -f commands
    mkfifo commands
    for open in "raw $data" "qcow2 $name.qcow2"; do
      set -- $open
      qemu-io -f "$1" "$2" <commands >/dev/null &
      pids+=($!)
      exec 7>commands
      # Of writing, too, there is a lock: at byte 101 of the file.
      is_open ()
      { grep -qE ":$(stat -L -c %i "$data") [0-9]+ 10[1-3]$" /proc/locks; }
      wait_until 10 is_open
      if [ "$1" = raw ]; then
        refuses "$data is in use" "$name.qcow2"
        # A layer's data file as well.
        qemu-img create -q -u -f qcow2 -b "$name.qcow2" -F qcow2 over.qcow2 16M
        refuses "backing file of $PWD/over.qcow2: .*$data is in use" over.qcow2
      else
        refuses 'is in use' "$name.qcow2"
      fi
      exec 7>&-
      wait "${pids[-1]}"
    done
    serve "$name.qcow2" -- 'nbdinfo --size "$uri"'
    can_write "$data" raw || fail "$name: still locked"
    can_write "$name.qcow2" qcow2 || fail "$name is still locked"
  done
done

# Refused: nothing is guessed, and nothing contacted.
for raw in on off; do
  disk bad file $raw
  mv bad.data away.data
  refuses "data file of $PWD/bad.qcow2.*$PWD/bad.data: No such file or directory; ." \
    bad.qcow2
  mkdir bad.data
  refuses "$PWD/bad.data is .*directory" bad.qcow2
  rmdir bad.data
  mkfifo bad.data
  refuses "$PWD/bad.data is neither" bad.qcow2
  rm bad.data
  mv away.data bad.data
  serve bad.qcow2 -- 'nbdinfo --size "$uri"'
done

# rename_data_file IMAGE NAME: in its header; nobody looks whether it is there.
rename_data_file ()
{
  qemu-img amend -o "data_file=${2//,/,,}" --image-opts \
    "driver=qcow2,file.filename=$1,data-file.driver=file,data-file.filename=${1%.qcow2}.data"
}

# QEMU would read zeroes where one ends early.
for raw in on off; do
  disk short file $raw
  truncate -s $((16 * 1024 * 1024 - 512)) short.data
  refuses "$PWD/short.data is not what was written: .* 16776704 bytes, .* 16777216; ." \
    short.qcow2
  truncate -s 1M short.data
  refuses "$PWD/short.data is not what was written" short.qcow2
  qemu-img create -q -u -f qcow2 -b short.qcow2 -F qcow2 over.qcow2 16M
  qemu-img bitmap --add over.qcow2 monday
  refuses "backing file of $PWD/over.qcow2: .*$PWD/short.data is not" over.qcow2
  if [ "$(id -u)" -eq 0 ]; then
    truncate -s 16M short.data
    place block small 8M
    rename_data_file short.qcow2 "$place"
    refuses "$place is not what was written" short.qcow2
  fi
done

# A server that notes who comes.
rm -f server.sock
note_who_comes server.sock
disk away file off
for data in "nbd+unix:///?socket=$PWD/server.sock" \
            "nbd:unix:$PWD/server.sock" \
            "json:{\"driver\":\"nbd\",\"server\":{\"type\":\"unix\",\"path\":\"$PWD/server.sock\"}}" \
            "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"nbd\",\"server\":{\"type\":\"unix\",\"path\":\"$PWD/server.sock\"}}}"
do
  rename_data_file away.qcow2 "$data"
  refuses 'away.qcow2 keeps its data in an external data file, .*absolute path' away.qcow2
  qemu-img create -q -u -f qcow2 -b away.qcow2 -F qcow2 over.qcow2 16M
  qemu-img bitmap --add over.qcow2 monday
  refuses 'away.qcow2 keeps its data in an external data file, .*absolute path' over.qcow2
done
! [ -e contacted ] || fail "the remote data file was contacted"
# The server does note it.  (QEMU itself went there before 9.1.)
timeout 10 qemu-img info "nbd+unix:///?socket=$PWD/server.sock" 2>/dev/null || :
wait_until 10 test -e contacted

# The header says that there is one, and not which.
disk nameless file off
"$python" - nameless.qcow2 <<'EOF'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(f.read(65536).index(b"DATA"))
    f.write(b"\x12\x34\x56\x78")
EOF
! qemu-img info nameless.qcow2 | grep 'data file:' || fail "the name is still known"
refuses 'nameless.qcow2.*data file' nameless.qcow2

# Not a file of its own: the image itself, a file below it, another's data file.
place file loop.data 16M
qemu-img create -q -f qcow2 -o data_file="$place" loop.qcow2 16M
qemu-img bitmap --add loop.qcow2 monday
rename_data_file loop.qcow2 "$PWD/loop.qcow2"
refuses 'loop.qcow2' loop.qcow2
qemu-img create -q -f raw base.raw 16M
disk base file on
for data in base.raw base.qcow2 base.data; do
  rm -f loop.qcow2
  below=base.qcow2 format=qcow2
  [ $data != base.raw ] || below=base.raw format=raw
  qemu-img create -q -f qcow2 -o data_file="$PWD/loop.data" -b $below \
    -F $format loop.qcow2 16M
  qemu-img bitmap --add loop.qcow2 monday
  serve loop.qcow2 -- 'nbdinfo --size "nbd+unix:///vda@?socket=$unixsocket"'
  rename_data_file loop.qcow2 "$PWD/$data"
  refuses "$PWD/$data is not what was written|loop.qcow2: a file of $PWD/base[.].* too" \
    loop.qcow2
done

# Changed between our look and QEMU's, by a storage daemon that lets us.
make_slow_daemon
disk late file off
cp late.data spare.data
touch -d '1 hour ago' late.data spare.data
changed="late.qcow2, or its data file, changed while it was being opened"
PATH=$slowly change=: serve late.qcow2 -- 'nbdinfo --size "$uri"'
PATH=$slowly change='touch late.data' refuses "$changed" late.qcow2
touch -d '1 hour ago' late.data
PATH=$slowly change='cp -p late.data new.data; mv new.data late.data' \
  refuses "$changed" late.qcow2
PATH=$slowly change='rm late.data' refuses 'late.data' late.qcow2
mv spare.data late.data

# Replaced later, what was opened is read on.
raw_copy late.raw late.qcow2
start_nbdkit server.sock late.qcow2
truncate -s 16M new.data
mv new.data late.data
nbdcopy "nbd+unix:///vda@?socket=$PWD/server.sock" got.raw
cmp late.raw got.raw || fail "other bytes than were opened"
stop_nbdkit
leaves_nothing
[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"

# What is written through one disk is in no bitmap of another that has the same
# data file, or is that.  Whole layers may be in common, which nobody writes to.
for disk in one two; do
  qemu-img create -q -f qcow2 \
    -o "data_file=$PWD/common.data,data_file_raw=on" $disk.qcow2 1M
  qemu-img bitmap --add $disk.qcow2 monday
  qemu-img create -q -f qcow2 -b one.qcow2 -F qcow2 over-$disk.qcow2
  qemu-img bitmap --add over-$disk.qcow2 monday
done
refuses "disks vda and vdb both have their data in $PWD/common.data" \
  vda:one.qcow2 vdb:two.qcow2
refuses "disks vda and vdb both have their data in $PWD/common.data" \
  vda:over-one.qcow2 vdb:two.qcow2
refuses "disks vda and vdb both have their data in $PWD/common.data" \
  vda:common.data vdb:two.qcow2 format=vda:raw on-missing=full
serve vda:over-one.qcow2 vdb:over-two.qcow2 checkpoint=monday -- \
  'nbdinfo --size "nbd+unix:///vdb@?socket=$unixsocket"'

# A word about a disk that there is not.
for word in format=vdc:qcow2 secret=vdc:common.data; do
  refuses "the ${word%%=*} .*${word##*:} is said of disk vdc, which is not there; disks are: .*vda" \
    vda:one.qcow2 $word
done
