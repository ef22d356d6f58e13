#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A server that lives, but fails a read or a block status: the client gets
# EIO, the log says once what failed, and nothing wrong is ever served.  (QEMU
# 7.2 hangs up after an answer that failed half-way, which is then final.)
. "$(dirname "$0")/functions.sh"

qemu-img create -q -f qcow2 disk.qcow2 2G
qemu-io -f qcow2 -c 'write -q -P 1 0 1M' disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 2 1M 1M' -c 'write -q -P 3 5M 64k' \
  -c 'write -q -P 4 1G 64k' disk.qcow2

cp disk.qcow2 broken.qcow2
# Where in the file the data of 5 MiB is, and the table of what is at 1 GiB.
data=$(qemu-img map -f qcow2 --output=json disk.qcow2 \
  | jq '.[] | select(.start == 5242880) | .offset')
number () { od -An -N8 -tu8 --endian=big -j "$1" disk.qcow2 | tr -d ' '; }
table=$(($(number $(($(number 40) + 2 * 8))) & 0x00fffffffffffe00))
options=driver=qcow2,file.driver=blkdebug,file.image.driver=file
options+=,file.image.filename=disk.qcow2,file.inject-error.0.event=none
options+=,file.inject-error.0.iotype=read,file.inject-error.0.once=off
cat >client.py <<'END'
import errno, nbd, sys
MiB, what = 1 << 20, sys.argv[1]
clients = [nbd.NBD(), nbd.NBD()]
for h in clients:
    h.add_meta_context("base:allocation")
    h.connect_unix("server.sock")
def extents(h, offset):
    got = []
    h.block_status(MiB, offset, lambda c, o, entries, e: got.extend(entries))
    return got
def look(h):
    assert set(h.pread(MiB, MiB)) == {2}
def fails(call, *args):
    try:
        call(*args)
    except nbd.Error as e:
        assert e.errnum == errno.EIO, e
        return True
for h in clients * 5:
    if what == "read":
        assert fails(h.pread, 65536, 5 * MiB)
        assert fails(extents, h, 5 * MiB) \
            or extents(h, 5 * MiB)[:2] == [65536, 0]
    else:
        assert fails(extents, h, 1024 * MiB)
    fails(look, h)             # EIO, or what is true
END

for what in read 'block status'; do
  [ "$what" = read ] && sector=$((data / 512)) || sector=$((table / 512))
  rm -f nbdkit.log qemu.sock
  qemu-nbd -r -t -e 16 -B monday -k "$PWD/qemu.sock" --image-opts \
    "$options,file.inject-error.0.sector=$sector" &
  qemu=$!
  pids+=("$qemu")
  wait_until 10 listens qemu.sock
  start_nbdkit server.sock "uri=nbd+unix:///?socket=$PWD/qemu.sock"
  status=0
  timeout 60 "$python" client.py "$what" || status=$?
  cat nbdkit.log
  [ $status -eq 0 ] || fail "$what: the client ended with $status"
  # QEMU 7.2 hangs up on a client after an answer that failed half-way.
  lost=$(grep -c 'error: disk vda .*lost the server' nbdkit.log || :)
  refused=$(grep -Ec "error: disk vda .*fails the $what at [0-9]+: .*error" \
    nbdkit.log || :)
  [ "$((lost + refused))" -ge 1 ] || fail "the log does not say what failed"
  [ "$lost" -le 1 ] && [ "$refused" -le 1 ] || fail "the log says it again"
  [ "$(grep -c 'error:' nbdkit.log)" -eq $((refused + lost)) ] \
    || fail "the log says more"
  ! timeout 60 nbdcopy --synchronous \
    "nbd+unix:///?socket=$PWD/server.sock" copy 2>copy.log \
    || fail "$what: the copy was made"
  kill "$nbdkit_pid" && wait "$nbdkit_pid" || fail "nbdkit ended badly"
  kill "$qemu" && wait "$qemu" || :
done

# An image that QEMU finds broken once it is read: the log has QEMU's words.
table=$(($(number "$(number 40)") & 0x00fffffffffffe00))
"$python" - broken.qcow2 "$table" <<'END'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2]) + 6)
    f.write(b"\x02")               # not where a cluster can begin
END
nbdkit -U - "$plugin" broken.qcow2 --run '
  "$python" -c "import nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
try:
    h.pread(512, 0)
    sys.exit(1)
except nbd.Error:
    pass" "$uri"' 2>broken.log || fail "what is broken was read"
cat broken.log
grep -q 'disk vda .*fails the read at 0: .*(qcow2: Image is corrupt: ' \
  broken.log || fail "QEMU's words are not told"
