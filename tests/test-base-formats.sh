#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A base in any format that QEMU reads from one file, by whatever name it is
# recorded: bytes and map are QEMU's.  What leads to further files, or is not
# what it is called, is refused, and nothing is contacted.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/image-kinds.sh"

mkdir tmp
export TMPDIR=$PWD/tmp

# over BACKING FORMAT [SIZE]: top.qcow2 above it, with some history since the
# bitmap monday; top-monday.raw, top.raw and the ranges in dirty.
over ()
{
  qemu-img create -q -u -f qcow2 -b "$1" -F "$2" top.qcow2 "${3:-16M}"
  qemu-img bitmap -f qcow2 --add top.qcow2 monday
  raw_copy top-monday.raw -f qcow2 top.qcow2
  qemu-io -f qcow2 -d unmap -c 'write -q -P 3 1M 300k' \
    -c 'write -q -z 2M 128k' -c 'discard -q 5M 64k' \
    -c 'write -q -P 4 100k 512' top.qcow2
  raw_copy top.raw -f qcow2 top.qcow2
  bitmap_ranges monday -f qcow2 top.qcow2 >dirty
}
right () { served_right "$1" top.raw dirty top-monday.raw top.qcow2 "${@:2}"; }
# locked FILE: while the disk is served.
locked ()
{
  start_nbdkit server.sock top.qcow2
  ! qemu-io -f raw -c 'write -q 0 512' "$1" 2>/dev/null \
    || fail "$1 was written to"
  qemu-io -r -f raw -c 'read -q 0 512' "$1"
  stop_nbdkit
}

# base FILE FORMAT [OPTION…]: with data all over.
base ()
{
  local file=$1 format=$2
  shift 2
  qemu-img create -q -f "$format" "$@" "$file" 16M
  qemu-io -f "$format" -c 'write -q -P 1 0 3M' -c 'write -q -P 2 5M 200k' \
    -c 'write -q -P 5 15M 1M' "$file"
}
for format in 'raw' 'qcow2' 'qcow2 -o compat=0.10' 'vmdk' \
  'vmdk -o subformat=streamOptimized' 'vdi' 'vdi -o static=on' 'vpc' \
  'vpc -o subformat=fixed' 'vpc -o force_size=on' 'vhdx' \
  'vhdx -o subformat=fixed' 'qed' 'qed -o cluster_size=4096'
do
  read -r name options <<<"$format"
  case $options in
    *streamOptimized)           # is written once, in order
      base plain raw
      qemu-img convert -f raw -O vmdk -o subformat=streamOptimized plain \
        "base.$name" ;;
    *) # shellcheck disable=SC2086
       base "base.$name" "$name" $options ;;
  esac
  md5sum "base.$name" >before
  over "base.$name" "$name"
  right "$format"
  right "$format, cache=none" cache=none
  locked "base.$name"
  # Larger than its base, and smaller.
  over "$PWD/base.$name" "$name" 20971008
  right "$format, larger"
  over "base.$name" "$name" 8M
  right "$format, smaller"
  # Two layers above.
  qemu-img create -q -u -f qcow2 -b "base.$name" -F "$name" middle.qcow2 16M
  qemu-io -f qcow2 -c 'write -q -P 7 15M 64k' middle.qcow2
  over middle.qcow2 qcow2
  right "$format, below two layers"
  md5sum -c --quiet before || fail "$format: changed"
done

# By the names of QEMU's protocols, which are raw, whatever is in them.
base base.img raw
for file in base.img base.qcow2; do
  over $file file
  right "$file as file"
done
over "file:$PWD/base.img" raw
right "file:"
if [ "$(id -u)" -eq 0 ]; then
  for format in host_device raw vdi vhdx; do
    place block device 48M
    source=base.$format
    [ $format != host_device ] || source=base.img
    dd if="$source" of="$place" bs=1M conv=fsync status=none
    over "$place" $format
    right "$format on a device"
    locked "$place"
  done
fi

# By QEMU's own notation.
json () { printf 'json:{%s}' "$1"; }
file="\"driver\":\"file\",\"filename\":\"$PWD"
for case in \
  "file $(json "$file/base.img\"")" \
  "raw $(json "\"driver\":\"raw\",\"file\":{$file/base.img\"}")" \
  "raw $(json "\"driver\":\"raw\",\"file.driver\":\"file\",\"file.filename\":\"$PWD/base.img\"")" \
  "qcow2 $(json "\"driver\":\"qcow2\",\"file\":{$file/base.qcow2\"}")" \
  "vdi $(json "\"driver\":\"vdi\",\"file\":{$file/base.vdi\"}")" \
  "vmdk $(json "\"driver\":\"vmdk\",\"file\":{$file/base.vmdk\"}")"
do
  over "${case#* }" "${case%% *}"
  right "${case#* }"
done

# Options that change what is read must not be left out: served with them, or
# refused.
base other.qcow2 qcow2
qemu-io -f qcow2 -c 'write -q -P 9 0 16M' other.qcow2
qemu-img create -q -f qcow2 -b other.qcow2 -F qcow2 layer.qcow2 16M
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 swapped.qcow2 16M
for case in \
  "raw $(json "\"driver\":\"raw\",\"offset\":65536,\"file\":{$file/base.img\"}")" \
  "raw $(json "\"driver\":\"raw\",\"size\":1048576,\"file\":{$file/base.img\"}")" \
  "raw $(json "\"driver\":\"raw\",\"offset\":\"65536\",\"file\":{$file/base.img\"}")" \
  "qcow2 $(json "\"driver\":\"qcow2\",\"backing\":null,\"file\":{$file/swapped.qcow2\"}")" \
  "qcow2 $(json "\"driver\":\"qcow2\",\"backing\":{\"driver\":\"qcow2\",\"file\":{$file/other.qcow2\"}},\"file\":{$file/swapped.qcow2\"}")" \
  "qcow2 $(json "\"driver\":\"qcow2\",\"backing.driver\":\"qcow2\",\"backing.file.driver\":\"file\",\"backing.file.filename\":\"$PWD/other.qcow2\",\"file\":{$file/swapped.qcow2\"}")" \
  "qcow2 $(json "\"driver\":\"raw\",\"file\":{$file/base.qcow2\"}")" \
  "raw $(json "\"driver\":\"qcow2\",\"file\":{$file/base.qcow2\"}")" \
  "raw $(json "\"driver\":\"throttle\",\"throttle-group\":\"x\",\"file\":{$file/base.img\"}")" \
  "raw $(json "\"driver\":\"blkdebug\",\"image\":{$file/base.img\"}")" \
  "raw $(json "\"driver\":\"null-co\",\"size\":16777216")"
do
  qemu-img create -q -u -f qcow2 -b "${case#* }" -F "${case%% *}" top.qcow2 16M
  qemu-img bitmap -f qcow2 --add top.qcow2 monday
  status=0
  serve top.qcow2 -- true 2>log || status=$?
  if [ $status -ne 0 ]; then
    refuses "$PWD/top.qcow2" top.qcow2
  else
    over "${case#* }" "${case%% *}"
    right "${case#* }"
  fi
done

# What leads further.  A server notes who comes.
note_who_comes remote.sock
nbd="\"driver\":\"nbd\",\"server\":{\"type\":\"unix\",\"path\":\"$PWD/remote.sock\"}"

# leads_away REGEX BACKING FORMAT: to other files or servers.
leads_away ()
{
  qemu-img create -q -u -f qcow2 -b "$2" -F "$3" top.qcow2 16M
  qemu-img bitmap -f qcow2 --add top.qcow2 monday
  refuses "$1" top.qcow2
  ! [ -e contacted ] || fail "contacted: $2"
}
for format in raw qcow2 vmdk vdi; do
  leads_away 'top.qcow2: its backing file .* is not (a local file|read)' \
    "$(json "$nbd")" $format
  leads_away 'top.qcow2: its backing file .* is not (a local file|read)' \
    "$(json "\"driver\":\"$format\",\"file\":{$nbd}")" $format
done
# Relative to nobody knows what.
leads_away 'top.qcow2' "$(json '"driver":"file","filename":"base.img"')" raw
leads_away 'top.qcow2' file:base.img raw
leads_away 'top.qcow2' 'json:{' raw
leads_away 'top.qcow2' 'json:[]' raw
leads_away 'top.qcow2' "json:{\"driver\":\"file\",\"filename\":{\"a\":1}}" raw

# A descriptor is text: it names files, or servers.
for subformat in monolithicFlat twoGbMaxExtentSparse twoGbMaxExtentFlat; do
  qemu-img create -q -f vmdk -o subformat=$subformat split.vmdk 16M
  leads_away "$PWD/split.vmdk" split.vmdk vmdk
done
cat >text.vmdk <<EOF
# Disk DescriptorFile
version=1
CID=12345678
parentCID=ffffffff
createType="monolithicFlat"
RW 32768 FLAT "nbd+unix:///?socket=$PWD/remote.sock" 0
EOF
# An embedded one as well, where the header tells of no disk; QEMU follows it.
base sparse.vmdk vmdk
for extent in "nbd+unix:///?socket=$PWD/remote.sock" "$PWD/base.img"; do
  sed -i "s|FLAT \".*\"|FLAT \"$extent\"|" text.vmdk
  "$python" - sparse.vmdk text.vmdk embedded.vmdk <<'EOF'
import struct, sys
with open(sys.argv[1], "rb") as f:
    image = bytearray(f.read(65536))
with open(sys.argv[2], "rb") as f:
    text = f.read()
image[12:20] = bytes(8)                         # capacity
at, = struct.unpack_from("<Q", image, 28)       # its sector
image[at * 512:at * 512 + 20 * 512] = text.ljust(20 * 512, b"\0")
with open(sys.argv[3], "wb") as f:
    f.write(image)
EOF
  for file in text.vmdk embedded.vmdk; do
    leads_away "$PWD/$file is not a vmdk image of one file" $file vmdk
  done
done
qemu-img compare -q -f vmdk -F raw embedded.vmdk base.img
# The server does note who comes.  (QEMU itself went there before 9.1.)
timeout 10 qemu-img info "nbd+unix:///?socket=$PWD/remote.sock" 2>/dev/null || :
wait_until 10 test -e contacted
rm contacted

# A parent or a backing file of its own.
base parent.vmdk vmdk
qemu-img create -q -f vmdk -b parent.vmdk -F vmdk child.vmdk
leads_away "$PWD/child.vmdk has a parent, .*parent.vmdk, which is not followed.*uri=" child.vmdk vmdk
qemu-img create -q -f qed -b base.img -F raw child.qed
leads_away "$PWD/child.qed has a parent, .*base.img, which is not followed.*uri=" child.qed qed
qemu-img create -q -u -f qed -b "nbd+unix:///?socket=$PWD/remote.sock" -F raw \
  far.qed 16M
leads_away "$PWD/far.qed has a parent" far.qed qed
cp base.vdi child.vdi
"$python" - child.vdi <<'EOF'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(0x1b8)                               # UUID of the parent
    f.write(b"\1" * 16)
EOF
leads_away "$PWD/child.vdi" child.vdi vdi

# QEMU was killed while it wrote: the log must be replayed, by somebody else.
base logged.vhdx vhdx -o block_size=1M
! qemu-io -c 'write -q -P 2 9M 1M' --image-opts \
  "driver=vhdx,file.driver=blkdebug,file.image.driver=file,file.image.filename=logged.vhdx,file.inject-error.0.event=none,file.inject-error.0.iotype=write,file.inject-error.0.sector=4096" \
  >/dev/null 2>&1 || fail "the log was written"
md5sum logged.vhdx >before
leads_away "$PWD/logged.vhdx.*log" logged.vhdx vhdx
md5sum -c --quiet before || fail "the log was replayed"
qemu-img check -q -r all logged.vhdx >/dev/null
over logged.vhdx vhdx
right "with its log replayed"

# Another format than is recorded, one that is not read, and none.
leads_away "$PWD/base.vmdk" base.vmdk vdi
leads_away "$PWD/base.vdi" base.vdi vmdk
leads_away "$PWD/base.img" base.img vhdx
leads_away "$PWD/base.img" base.img qed
leads_away "$PWD/base.vdi" base.vdi qcow2
: >empty
leads_away "$PWD/empty" empty vmdk
leads_away "$PWD/empty" empty vhdx
for format in dmg cloop bochs parallels quorum nbd http; do
  leads_away "top.qcow2: .*format $format" base.img $format
done
leads_away "$PWD/empty" empty vpc
leads_away "$PWD/base.img" base.img vpc
cp base.vmdk cut.vmdk
truncate -s 1000 cut.vmdk
leads_away "$PWD/cut.vmdk" cut.vmdk vmdk

# A base whose format is not recorded is told.
over base.vdi vdi
forget_format top.qcow2
refuses 'top.qcow2 does not record the format.*base.vdi' top.qcow2
right "backing-format=" backing-format=vdi
refuses "$PWD/base.vdi" top.qcow2 backing-format=vmdk
refuses 'format dmg' top.qcow2 backing-format=dmg
refuses 'backing-format=' top.qcow2 backing-format=
# It is not believed against what is recorded.
over base.qcow2 qcow2
right "backing-format=" backing-format=raw
! [ -e contacted ] || fail "a server was contacted"
[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
