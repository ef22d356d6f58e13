#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Images that only name servers and files make nobody connect to them or open
# them: not nbdkit, nor any process that it starts.  All of their system calls
# are looked at.
. "$(dirname "$0")/functions.sh"
requires strace
# Leaks cannot be looked for under strace.
[ -z "$sanitizers" ] || export ASAN_OPTIONS="$ASAN_OPTIONS detect_leaks=0"

mkdir tmp
export TMPDIR=$PWD/tmp

# What is named has this in its name, and nothing else has.  A port on which
# nobody is: the attempt would be seen.
bait=bait-7d1f
port=1
guest_disk base.qcow2 16M
guest_disk "$bait.qcow2" 16M
qemu-img create -q -f raw "$bait.raw" 16M

# seen ARGS…: what nbdkit with ARGS, and all that it starts, says to the kernel.
seen ()
{
  rm -f trace.*
  bounded strace -ff -o trace -s 4096 \
    -e trace=connect,sendto,sendmsg,open,openat,openat2,stat,lstat,newfstatat,statx,access,faccessat,faccessat2,readlink,readlinkat \
    nbdkit -U - "$plugin" "$@" --run 'nbdinfo --size "$uri"' \
    >seen.log 2>&1 </dev/null || :
}

# Files by their names, servers by address.
touched ()
{
  grep -hE "^(open|openat|openat2|stat|lstat|newfstatat|statx|access|faccessat2?|readlink|readlinkat)\(.*$bait|^connect\(.*($bait|AF_INET)" \
    trace.* || :
}

# It would be seen.
seen "$bait.qcow2" checkpoint=monday
[ -n "$(touched)" ] || fail "an image that is opened is not seen"
qemu-img create -q -f qcow2 -b "$bait.qcow2" -F qcow2 top.qcow2
qemu-img bitmap --add top.qcow2 monday
seen top.qcow2 checkpoint=monday
grep -q '^16777216$' seen.log || fail "not served: $(cat seen.log)"
touched | grep -q open || fail "a backing file that is opened is not seen"
qemu-img rebase -u -f qcow2 -b "nbd://127.0.0.1:$port/x" -F raw top.qcow2
seen top.qcow2 checkpoint=monday "backing=nbd://127.0.0.1:$port/x"
touched | grep -q connect || fail "a server that is named is not seen"

# untouched IMAGE: however it is asked for, unless by name.
untouched ()
{
  local image=$1 parameters
  while read -r -a parameters; do
    seen "$image" checkpoint=monday "${parameters[@]}"
    ! grep -q '^16777216$' seen.log \
      || fail "$image was served, with: ${parameters[*]}"
    grep -q '^nbdkit: error: ' seen.log || fail "no error: $(cat seen.log)"
    [ -z "$(touched)" ] \
      || fail "$image, with ${parameters[*]}: $(touched | head -n 3)"
  done <<END

format=qcow2
backing-format=raw
backing=nbd://127.0.0.1:$port/another
backing=nbd:unix:$PWD/none.sock backing-format=qcow2 format=qcow2
backing=/dev/null
END
}

nbd="{\"driver\":\"nbd\",\"server\":{\"type\":\"unix\",\"path\":\"$PWD/$bait.sock\"}}"
names=(
  "nbd://127.0.0.1:$port/$bait"
  "nbd:127.0.0.1:$port:exportname=$bait"
  "nbd+unix:///?socket=$PWD/$bait.sock"
  "nbd:unix:$PWD/$bait.sock"
  "http://127.0.0.1:$port/$bait"
  "https://127.0.0.1:$port/$bait"
  "ftp://127.0.0.1:$port/$bait"
  "ssh://127.0.0.1:$port/$bait"
  "iscsi://127.0.0.1:$port/iqn.2001-04.org.example:$bait/1"
  "rbd:$bait/$bait:mon_host=127.0.0.1\\:$port"
  "gluster://127.0.0.1/$bait/$bait"
  "nfs://127.0.0.1/$bait"
  "fat:$PWD/$bait"
  "host_device:$PWD/$bait.raw"
  "blkdebug::$PWD/$bait.raw"
  "json:$nbd"
  "json:{\"driver\":\"raw\",\"file\":$nbd}"
  "json:{\"driver\":\"raw\",\"file.driver\":\"http\",\"file.url\":\"http://127.0.0.1:$port/$bait\"}"
  "json:{\"driver\":\"raw\",\"offset\":0,\"file\":{\"driver\":\"file\",\"filename\":\"$PWD/$bait.raw\"}}"
  "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"$PWD/$bait.qcow2\"},\"backing\":$nbd}"
  "json:{\"driver\":\"quorum\",\"vote-threshold\":1,\"children\":[{\"driver\":\"file\",\"filename\":\"$PWD/$bait.raw\"}]}"
)
for name in "${names[@]}"; do
  qemu-img rebase -u -f qcow2 -b "$name" -F raw top.qcow2
  untouched top.qcow2
done

# The name of an external data file, in the header.
qemu-img create -q -f qcow2 -o "data_file=$PWD/data.raw" data.qcow2 16M
qemu-img bitmap --add data.qcow2 monday
for name in "$nbd" "nbd+unix:///?socket=$PWD/$bait.sock" "$bait.raw"; do
  cp data.qcow2 over.qcow2
  case $name in "{"*) name=json:$name ;; esac
  "$python" - over.qcow2 "$PWD/data.raw" "$name" <<'END'
import sys
image, old, new = sys.argv[1], sys.argv[2].encode(), sys.argv[3].encode()
pad = lambda name: name + bytes(-len(name) % 8)
with open(image, "r+b") as f:
    head = f.read(65536)
    at = head.index(old)
    after = head[at + len(pad(old)):]
    head = head[:at - 4] + len(new).to_bytes(4, "big") + pad(new) + after
    f.seek(0)
    f.write(head[:65536])
END
  untouched over.qcow2
done

# A vmdk whose descriptor names another file, below an image.
qemu-img create -q -f vmdk -o subformat=monolithicFlat "$bait.vmdk" 16M
mv "$bait.vmdk" descriptor.vmdk
grep -q "$bait-flat.vmdk" descriptor.vmdk || fail "the descriptor names no file"
qemu-img create -q -f qcow2 -u -b descriptor.vmdk -F vmdk top.qcow2 16M
qemu-img bitmap --add top.qcow2 monday
untouched top.qcow2

# An image that has a base, which names a server.
qemu-img create -q -f qcow2 -u -b "nbd+unix:///?socket=$PWD/$bait.sock" -F raw \
  base.qcow2 16M
qemu-img create -q -f qcow2 -u -b base.qcow2 -F qcow2 top.qcow2 16M
qemu-img bitmap --add top.qcow2 monday
untouched top.qcow2

leaves_nothing
[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
