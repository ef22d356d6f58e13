#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A storage daemon that does not answer for longer than the plugin waits, and
# then goes on: nobody is shown one disk's map or bytes as another's.
. "$(dirname "$0")/functions.sh"

mkdir tmp
export TMPDIR=$PWD/tmp

for disk in 'a 1' 'b 5'; do
  set -- $disk
  qemu-img create -q -f qcow2 "$1.qcow2" 16M
  qemu-io -f qcow2 -c "write -q -P $2 0 16M" "$1.qcow2"
  qemu-img bitmap --add "$1.qcow2" X
  qemu-io -f qcow2 -c "write -q -P $2 $2M 64k" "$1.qcow2"
done

# client.py EXPORT PATTERN: 0 when its own bytes and map are seen, 2 when
# refused, 1 otherwise.
cat >client.py <<'END'
import nbd, sys
h = nbd.NBD()
h.add_meta_context("base:allocation")
h.set_export_name(sys.argv[1])
try:
    h.connect_unix("server.sock")
except nbd.Error as e:
    print("%s is refused: %s" % (sys.argv[1], e))
    sys.exit(2)
pattern, MiB = int(sys.argv[2]), 1 << 20
assert set(h.pread(16 * MiB, 0)) == {pattern}, "another disk's bytes"
dirty = []
def extents(context, offset, entries, error):
    for length, flags in zip(entries[::2], entries[1::2]):
        if not flags & 1:
            dirty.append((offset, length))
        offset += length
h.block_status(16 * MiB, 0, extents)
assert dirty == [(pattern * MiB, 65536)], dirty
END
client ()
{
  status=0
  timeout 60 "$python" client.py "$@" || status=$?
}

start_nbdkit server.sock vda:a.qcow2 vdb:b.qcow2
find_daemon "$nbdkit_pid"
# Clients are heard when the start is over; this one opens nothing, as what is
# open already needs no new export.
timeout 30 "$python" - <<'END'
import nbd
h = nbd.NBD()
h.set_opt_mode(True)
h.connect_unix("server.sock")
h.opt_abort()
END

kill -STOP "$daemon"
client vda@X 1
[ $status -eq 2 ] || fail "with the daemon stopped: status $status"
kill -CONT "$daemon"
sleep 0.5
# Twice, to see whether answers stay behind by one.
for round in 1 2; do
  for disk in 'vdb@X 5' 'vda@X 1'; do
    client $disk
    case $status in 0 | 2) ;; *) fail "$disk in round $round: $status" ;; esac
  done
done
cat nbdkit.log
kill -0 "$nbdkit_pid" || fail "nbdkit ended"
kill "$nbdkit_pid"
wait "$nbdkit_pid" || fail "nbdkit ended badly"
leaves_nothing
[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
