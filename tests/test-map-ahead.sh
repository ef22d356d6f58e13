#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The map is asked for ahead of the clients: what the server cannot tell of a
# part of the disk is the concern of those who ask for it, and of nobody else.
. "$(dirname "$0")/functions.sh"

qemu-img create -q -f qcow2 disk.qcow2 20G
qemu-img bitmap --add disk.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 1 1M 64k' -c 'write -q -P 2 5G 64k' \
  -c 'write -q -P 3 10G 64k' disk.qcow2
# The table of what is at 5 GiB cannot be read.
number () { od -An -N8 -tu8 --endian=big -j "$1" disk.qcow2 | tr -d ' '; }
table=$(($(number $(($(number 40) + 10 * 8))) & 0x00fffffffffffe00))
options=driver=qcow2,file.driver=blkdebug,file.image.driver=file
options+=,file.image.filename=disk.qcow2,file.inject-error.0.event=none
options+=,file.inject-error.0.iotype=read,file.inject-error.0.once=off
options+=,file.inject-error.0.sector=$((table / 512))

cat >client.py <<'END'
import errno, nbd, sys, time
MiB, GiB = 1 << 20, 1 << 30
h = nbd.NBD()
h.add_meta_context("base:allocation")
h.connect_unix("server.sock")
def extents(offset):
    got = []
    h.block_status(2 * MiB, offset, lambda c, o, entries, e: got.extend(entries))
    return got
near = [MiB, 1, 65536, 0, MiB - 65536, 1]
assert extents(0) == near, extents(0)
time.sleep(0.5)                # the answer to what was asked ahead is there
assert extents(GiB) == [2 * MiB, 1]
if len(sys.argv) > 1:
    sys.exit()
try:
    extents(5 * GiB)
    sys.exit("what cannot be read was told")
except nbd.Error as e:
    assert e.errnum == errno.EIO, e
assert extents(0) == near, extents(0)
END

for asks in near far; do
  rm -f nbdkit.log qemu.sock
  qemu-nbd -r -t -e 16 -B monday -k "$PWD/qemu.sock" --image-opts "$options" &
  qemu=$!
  pids+=("$qemu")
  wait_until 10 listens qemu.sock
  start_nbdkit server.sock "uri=nbd+unix:///?socket=$PWD/qemu.sock"
  if [ $asks = near ]; then
    timeout 60 "$python" client.py near
    timeout 60 "$python" client.py near
    ! grep error: nbdkit.log || fail "what nobody asked for was logged"
  else
    timeout 60 "$python" client.py
    [ "$(grep -c error: nbdkit.log)" -eq 1 ] || fail "not logged once"
    grep -E 'disk vda .*(fails the block status at|lost the server)' nbdkit.log
  fi
  stop_nbdkit
  kill "$qemu" && wait "$qemu" || :
done
