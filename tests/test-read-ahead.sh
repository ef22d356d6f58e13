#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# What is dirty is read ahead of clients who read in order, and of no others;
# all bytes are right whoever reads in which order, also where the server fails
# a block further on, lets in one client only, or goes away meanwhile.
# SEED=N repeats the random part.
. "$(dirname "$0")/functions.sh"
export PYTHONPATH=$srcdir/tests
seed=${SEED:-$RANDOM}
echo "SEED=$seed"

# Runs of all sizes between the granularity and 2 MiB, with gaps of all sizes.
qemu-img create -q -f qcow2 disk.qcow2 256M
qemu-img bitmap --add -g 4k disk.qcow2 monday
"$python" "$srcdir/tests/random-runs.py" "$seed" 256 >commands
qemu-io -f qcow2 --cache=unsafe disk.qcow2 <commands >/dev/null
qemu-img convert -f qcow2 -O raw disk.qcow2 truth.raw

# serve_disk IMAGE-OPTIONS ARGS…: by a qemu-nbd that tells what it is asked for.
serve_disk ()
{
  local image=$1
  shift
  rm -f qemu.sock
  qemu-nbd -r -t -B monday --trace nbd_receive_request \
    -k "$PWD/qemu.sock" "$@" --image-opts "$image" 2>asked &
  qemu_pid=$!
  pids+=("$qemu_pid")
  wait_until 10 listens qemu.sock
  rm -f nbdkit.log
  start_nbdkit server.sock "uri=nbd+unix:///?socket=$PWD/qemu.sock" view=sparse
}

stop_disk ()
{
  stop_nbdkit
  kill "$qemu_pid" 2>/dev/null || :
  wait "$qemu_pid" || :
}

clients ()
{
  bounded "$python" "$srcdir/tests/read-ahead-clients.py" server.sock truth.raw \
    "$1" || fail "clients ended with $?"
}

# was_asked_for OFFSET: the server was, on behalf of us.
was_asked_for () { grep -q "type = 0x0, from = $1, " asked; }

plain=driver=qcow2,file.driver=file,file.filename=disk.qcow2
for round in 1 2; do
  nbdkit_options=(-D "checkpoint.parallel=$((round - 1))")
  serve_disk "$plain" -e 20
  clients $((seed + round))
  stop_disk
  if grep error nbdkit.log; then fail "something was logged"; fi
done
serve_disk "$plain" -e 1
clients "$seed"
stop_disk
nbdkit_options=()

# A disk with a run per MiB, all of 64 KiB.
qemu-img create -q -f qcow2 runs.qcow2 64M
qemu-img bitmap --add runs.qcow2 monday
for i in {0..63}; do echo "write -q -P $((i + 1)) ${i}M 64k"; done \
  | qemu-io -f qcow2 --cache=unsafe runs.qcow2 >/dev/null
qemu-img convert -f qcow2 -O raw runs.qcow2 truth.raw
runs=driver=qcow2,file.driver=file,file.filename=runs.qcow2
cat >read.py <<'EOF'
import sys
from clients import knowing
h = knowing("server.sock", 64 << 20)
for run in map(int, sys.argv[1:]):
    assert bytes(h.pread(65536, run << 20)) == bytes([run + 1]) * 65536, run
EOF
read_runs () { bounded "$python" read.py "$@" || fail "reading $* failed"; }

serve_disk "$runs" -e 20
read_runs 3 40 17 60 9 25 2 50
sleep 0.2
for run in 4 10 18 26 41 51 61; do
  ! was_asked_for $((run << 20)) || fail "run $run was read for nobody"
done
stop_disk

serve_disk "$runs" -e 20
read_runs 20 21
wait_until 10 was_asked_for $((22 << 20))
stop_disk

# Large requests, too, which alone are as much as is read ahead.
serve_disk "$runs" -e 20
cat >large.py <<'EOF'
from clients import knowing
h = knowing("server.sock", 64 << 20)
for at in range(0, 16 << 20, 2 << 20):
    h.pread(2 << 20, at)
EOF
bounded "$python" large.py || fail "reading 2 MiB at once failed"
wait_until 10 was_asked_for $((16 << 20))
stop_disk

# Clean neighbours do not disturb it: each run is read once, and what is between
# two runs in one go.
serve_disk "$runs" -e 20
cat >neighbours.py <<'EOF'
from clients import knowing
h = knowing("server.sock", 64 << 20)
for run in range(64):
    want = bytes([run + 1]) * 65536 + bytes(3 * 65536)
    for quarter in range(4):
        at = (run << 20) + (quarter << 18)
        assert bytes(h.pread(262144, at)) == want, (run, quarter)
        want = bytes(262144)
EOF
bounded "$python" neighbours.py || fail "reading with neighbours failed"
stop_disk
for run in {0..63}; do
  times=$(grep -c "type = 0x0, from = $((run << 20)), " asked)
  [ "$times" -eq 1 ] || fail "run $run was read $times times"
done

# It goes on for one who leaves out a single run, but soon ends for one who
# leaves out every other.
serve_disk "$runs" -e 20
read_runs 0 1 2 3 4 $(seq 6 20)
wait_until 10 was_asked_for $((24 << 20))
stop_disk
serve_disk "$runs" -e 20
read_runs $(seq 0 2 62)
for run in $(seq 13 2 63); do
  ! was_asked_for $((run << 20)) || fail "run $run was read for nobody"
done
stop_disk

# A block that cannot be read is nobody's concern but theirs who ask for it.
offset=$(qemu-img map --output=json runs.qcow2 \
  | jq '.[] | select(.start == (12 * 1048576)) | .offset')
bad=driver=qcow2,file.driver=blkdebug,file.image.driver=file
bad+=,file.image.filename=runs.qcow2,file.inject-error.0.event=read_aio
bad+=,file.inject-error.0.iotype=read,file.inject-error.0.errno=5
bad+=,file.inject-error.0.sector=$((offset / 512))
serve_disk "$bad" -e 20
read_runs 8 9 10 11 13 14 15 16 17
was_asked_for $((12 << 20)) || fail "the bad block was not read ahead"
if grep error nbdkit.log; then fail "something was logged"; fi
if bounded "$python" read.py 12; then fail "the bad block was read"; fi
grep -q 'the server fails the read at 12582912\|lost the server' nbdkit.log \
  || fail "the log does not tell of the bad block"
stop_disk

# The server goes while clients wait for what is read ahead of them.
serve_disk "$runs" -e 20
cat >until-lost.py <<'EOF'
import errno, nbd, os, signal, sys
from clients import knowing
h = knowing("server.sock", 64 << 20)
for run in range(64):
    if run == 5:
        os.kill(int(sys.argv[1]), signal.SIGSTOP)
    if run == 8:
        os.kill(int(sys.argv[1]), signal.SIGKILL)
    try:
        h.pread(65536, run << 20)
        assert run < 20, run
    except nbd.Error as e:
        assert run >= 8 and e.errnum == errno.EIO, (run, e)
EOF
bounded "$python" until-lost.py "$qemu_pid" || fail "not EIO, or too late"
says_once_lost
stop_disk
leaves_nothing
