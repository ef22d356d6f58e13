#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A view of 32 parts: clients that come at once, when nobody has read the union
# yet, all get it whole; ten thousand that look at it, at others, at parts and
# at what is refused, cost no memory and no file descriptor; and with the
# sanitizers, nothing allocated is forgotten at the end.
[ -z "${ASAN_OPTIONS:-}" ] || unset ASAN_OPTIONS
. "$(dirname "$0")/functions.sh"
warm_up=1000 all=10000
if [ -n "$sanitizers" ]; then
  ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=1"
  warm_up=100 all=600
fi

# Layer n has the bitmap, but for one, and writes cluster 2n; from 16 on, c16
# is there, too.
layers=32
qemu-img create -q -f qcow2 layer0.qcow2 8M
for ((i = 0; i < layers; i++)); do
  [ $i -eq 0 ] || qemu-img create -q -f qcow2 -b layer$((i - 1)).qcow2 \
    -F qcow2 layer$i.qcow2
  [ $i -eq 20 ] || qemu-img bitmap --add layer$i.qcow2 c0
  [ $i -lt 16 ] || qemu-img bitmap --add layer$i.qcow2 c16
  qemu-io -f qcow2 -c "write -q -P $((i + 1)) $((i * 128))k 64k" layer$i.qcow2
done
nbdkit_options=(--filter="$filter")

cat >clients.py <<'EOT'
import sys, threading
import nbd

LAYERS, CLUSTER = int(sys.argv[1]), 65536

def holes(*layers):
    """The map that says that these wrote, and no other."""
    written = {2 * n for n in layers}
    return [0 if n in written else 1 for n in range(8 * 1024 // 64)]

MAPS = {"": holes(*range(LAYERS)), "vda@c0": holes(*range(LAYERS)),
        "vda@c16": holes(*range(16, LAYERS)), "vda@c0/7": holes(LAYERS - 8),
        # Part 11 is that of layer 20, which has no bitmap.
        "vda@c0/11": holes(*range(20, LAYERS)), "vda@nothing": None}

def look(name):
    h = nbd.NBD()
    h.set_export_name(name)
    h.add_meta_context("base:allocation")
    try:
        h.connect_unix("sock")
    except nbd.Error:
        return None
    seen = []
    def extents(context, offset, entries, error):
        for length, flags in zip(entries[::2], entries[1::2]):
            assert length % CLUSTER == 0, entries
            seen.extend([flags] * (length // CLUSTER))
    h.block_status(h.get_size(), 0, extents)
    last = LAYERS - 1
    assert h.pread(CLUSTER, last * 2 * CLUSTER) == bytes([LAYERS]) * CLUSTER
    h.shutdown()
    return seen

def check(name):
    seen = look(name)
    assert seen == MAPS[name], "'%s': %s" % (name, seen)

def at_once(names):
    barrier = threading.Barrier(len(names))
    failures = []
    def client(name):
        barrier.wait()
        try:
            check(name)
        except BaseException as e:
            failures.append(e)
    clients = [threading.Thread(target=client, args=[n]) for n in names]
    for c in clients:
        c.start()
    for c in clients:
        c.join()
    if failures:
        raise failures[0]

if sys.argv[2] == "at-once":
    at_once(sys.argv[3:])
else:
    for i in range(int(sys.argv[2])):
        check(sorted(MAPS)[i % len(MAPS)])
EOT
clients () { bounded "$python" clients.py $layers "$@"; }
# many COUNT: half of them at a time, two by two.
many ()
{
  local first status=0
  clients $(($1 / 2)) &
  first=$!
  clients $(($1 / 2)) || status=$?
  wait $first && [ $status -eq 0 ]
}

same="vda@c0 vda@c0"
for names in "$same" "$same vda@c16 vda@c0/11" "$same $same $same $same"; do
  start_nbdkit sock layer31.qcow2 checkpoint=c0
  clients at-once $names
  stop_nbdkit
done

start_nbdkit sock layer31.qcow2 checkpoint=c0
find_daemon "$nbdkit_pid"
growth () { awk '/^VmRSS/ { print $2 }' "/proc/$nbdkit_pid/status"; }
descriptors () { ls "/proc/$nbdkit_pid/fd" "/proc/$daemon/fd" | wc -l; }

many $warm_up
nbdinfo --list "nbd+unix:///?socket=$PWD/sock" >/dev/null
# Connections are made, and given up, in the background.  One that is not let in soon is
# not tried again, so the most of three rounds counts.
wait_until 10 settled descriptors
memory=$(growth) fds=$(descriptors)
for i in 1 2; do
  many 50
  nbdinfo --list "nbd+unix:///?socket=$PWD/sock" >/dev/null
  wait_until 10 settled descriptors
  now=$(descriptors)
  [ "$now" -le "$fds" ] || fds=$now
done
many $((all - warm_up))
nbdinfo --list "nbd+unix:///?socket=$PWD/sock" >/dev/null
echo "memory: $memory then $(growth) KiB; descriptors: $fds then $(descriptors)"
wait_until 5 eval '[ "$(descriptors)" -le "$fds" ]'
if [ -z "$sanitizers" ]; then
  # The allocator's own slack; 9000 leaked maps would be more.
  [ "$(growth)" -lt $((memory + 4096)) ] || fail "memory grows with clients"
fi
stop_nbdkit
leaves_nothing
