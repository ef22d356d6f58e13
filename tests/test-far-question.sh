#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A question far from what is known of the map is answered by itself: not by
# reading a million slices that come before it.  Memory stays bounded.
. "$(dirname "$0")/functions.sh"

K=1024 G=$((1 << 30)) P=$((1 << 50))

# start SIZE VIEW START-LENGTH…: a server of that size, and ours before it.
start ()
{
  local size=$1 view=$2
  shift 2
  rm -f upstream.sock asked
  "$python" "$srcdir/tests/huge-server.py" upstream.sock "$size" "$@" &
  upstream=$!
  pids+=($upstream)
  wait_until 10 test -S upstream.sock
  start_nbdkit server.sock "uri=nbd+unix:///?socket=$PWD/upstream.sock" \
    checkpoint=monday view="$view"
  echo 0 >asked
}
stop () { stop_nbdkit; kill $upstream; wait $upstream 2>/dev/null || :; }

cat >client.py <<'END'
import nbd, random, sys

def opened():
    h = nbd.NBD()
    h.add_meta_context("base:allocation")
    h.connect_unix("server.sock")
    return h

def status(h, offset, length):
    """(start, end, flags)…"""
    found = []
    def extents(context, at, entries, error):
        for n, flags in zip(entries[::2], entries[1::2]):
            found.append((at, at + n, flags))
            at += n
    h.block_status(length, offset, extents)
    return found

def asked():
    return int(open("asked").read())

def check(h, runs, offset, length):
    """All of what is told is right, and something is."""
    got = status(h, offset, length)
    assert got and got[0][0] == offset
    for begin, end, flags in got:
        dirty = [r for r in runs if r[0] < end and begin < r[0] + r[1]]
        if flags == 1:                  # a hole, not zero: clean
            assert not dirty, (begin, end, dirty)
        else:
            assert flags == 0, flags
            assert any(r[0] <= begin and end <= r[0] + r[1] for r in runs), \
                (begin, end)

def costs(most, call, *args):
    before = asked()
    call(*args)
    assert asked() - before <= most, (asked() - before, args[2:])
END

for size in $P $((4 * P)); do
  runs=("$((64 * K))-$((64 * K))" "$((size / 2))-$((3 * G))"
        "$((size - 512))-512")
  start $size overlay "${runs[@]}"
  bounded "$python" - $size "${runs[@]}" <<'END' || fail "far questions"
exec(open("client.py").read())
size, runs = int(sys.argv[1]), [tuple(map(int, r.split("-"))) for r in sys.argv[2:]]
h = opened()
costs(16, check, h, runs, size - 512, 512)
costs(16, check, h, runs, 0, 1 << 20)
costs(16, check, h, runs, size // 2, 512)
costs(16, check, h, runs, size // 2 - 1024, 4096)
rng = random.Random(3)
for _ in range(200):
    at = rng.choice([rng.randrange(0, size, 512)]
                    + [max(0, r[0] + rng.randrange(-1 << 31, 1 << 31, 512))
                       for r in runs])
    at = min(at, size - 512)
    costs(16, check, h, runs, at,
          min(rng.choice([512, 1 << 20, (1 << 32) - 512]), size - at))
END
  # The whole map is wanted for the description: it is read, or time is up.
  nbdinfo --list "nbd+unix:///?socket=$PWD/server.sock" >list 2>&1 &
  lister=$!
  wait_until 20 eval '[ "$(cat asked)" -gt 1000 ]'
  SECONDS=0
  stop
  [ $SECONDS -le 5 ] || fail "SIGTERM was not heard for $SECONDS s"
  wait $lister || :
  start $size guard "${runs[@]}"
  bounded "$python" - $size <<'END' || fail "view=guard"
exec(open("client.py").read())
size = int(sys.argv[1])
def reads(offset):
    try:
        return opened().pread(512, offset) == b"\x55" * 512
    except nbd.Error:
        return False
def expect(offset, want):
    before = asked()
    assert reads(offset) == want, offset
    assert asked() - before <= 16, asked() - before
expect(size - 512, True)
expect(size - 1024, False)
expect(65536, True)
expect(0, False)
expect(size // 2, True)
END
  hwm=$(awk '/^VmHWM/ { print int($2 / 1024) }' "/proc/$nbdkit_pid/status")
  [ -n "$sanitizers" ] || [ "$hwm" -le 300 ] || fail "it took $hwm MiB"
  stop
done

# In order, nothing is asked twice: 64 GiB are 19 slices.
start $((64 * G)) overlay "$G-$((5 * G))"
bounded "$python" - $((64 * G)) <<'END' || fail "in order"
exec(open("client.py").read())
size, runs, h, at = int(sys.argv[1]), [(1 << 30, 5 << 30)], opened(), 0
while at < size:
    got = status(h, at, min((1 << 32) - 512, size - at))
    at = got[-1][1]
check(h, runs, size - 512, 512)
assert asked() <= 22, asked()
END
stop

# A real image, of which QEMU itself knows the end at once.
qemu-img create -q -f qcow2 -o cluster_size=2M huge.qcow2 1024T
qemu-img bitmap --add -g 1G huge.qcow2 monday
qemu-io -f qcow2 -c "write -q -P 1 $((P - 512)) 512" huge.qcow2
serve huge.qcow2 checkpoint=monday -- "\"$python\" -c '
import nbd
h = nbd.NBD()
h.add_meta_context (\"base:allocation\")
h.connect_unix (\"'\"\$unixsocket\"'\")
h.block_status (512, $P - 512, lambda c, o, e, err: print (o, e))'" \
  | grep -x "$((P - 512)) \[512, 0\]" || fail "the end of a real image"
