#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A server far away, or slow: much is under way to it, and all bytes are right,
# whoever reads in which order; clients that leave in the middle take nothing
# from others, and a server that dies in the middle is an error at once.
# SEED=N repeats the random part.
. "$(dirname "$0")/functions.sh"
export PYTHONPATH=$srcdir/tests
seed=${SEED:-$RANDOM}
echo "SEED=$seed"

# Runs of all sizes, and then long ones that fill the way.
qemu-img create -q -f qcow2 disk.qcow2 256M
qemu-img bitmap --add -g 4k disk.qcow2 monday
"$python" "$srcdir/tests/random-runs.py" "$seed" 64 >commands
for i in {80..239}; do
  echo "write -q -P $((i + 1)) ${i}M $((i % 16 ? 1024 : 960))k"
done >>commands
qemu-io -f qcow2 --cache=unsafe disk.qcow2 <commands >/dev/null
qemu-img convert -f qcow2 -O raw disk.qcow2 truth.raw

# far MILLISECONDS ARGS…: a server of the disk so far away, and nbdkit.
far ()
{
  local milliseconds=$1
  shift
  qemu-nbd -r -t -e 40 -B monday -f qcow2 -k "$PWD/near.sock" disk.qcow2 &
  qemu_pid=$!
  wait_until 10 listens near.sock
  "$builddir/tests/delay-relay" "$milliseconds" far.sock near.sock &
  relay_pid=$!
  pids+=("$qemu_pid" "$relay_pid")
  wait_until 10 listens far.sock
  rm -f nbdkit.log
  start_nbdkit server.sock "uri=nbd+unix:///?socket=$PWD/far.sock" "$@"
}
near ()
{
  stop_nbdkit
  for pid in "$qemu_pid" "$relay_pid"; do
    kill "$pid" 2>/dev/null || :
    wait "$pid" 2>/dev/null || :
  done
  rm -f near.sock far.sock
}
uri="nbd+unix:///?socket=$PWD/server.sock"
same () { cmp "$1" truth.raw || fail "$2: other bytes"; rm "$1"; }

# (Under a sanitizer, this alone would take minutes.)
for parallel in 0 1; do
  nbdkit_options=(-D "checkpoint.parallel=$parallel")
  far "${sanitizers:+0.}2" view=sparse
  bounded "$python" "$srcdir/tests/read-ahead-clients.py" server.sock \
    truth.raw "$seed" || fail "parallel=$parallel: clients ended with $?"
  near
  ! grep error nbdkit.log || fail "something was logged"
done
nbdkit_options=()

far 20 view=sparse
bounded nbdcopy "$uri" copy.raw
same copy.raw nbdcopy
bounded nbdcopy --connections=1 "$uri" copy.raw
same copy.raw "nbdcopy with one connection"
bounded qemu-img convert -W -m 16 -f raw -O raw "$uri" copy.raw
same copy.raw "qemu-img convert"

# Who pauses gives the memory for it back.
memory () { awk '$1 == "RssAnon:" { print $2 }' "/proc/$nbdkit_pid/status"; }
has_given_back () { (($(memory) < before + 8192)); }
before=$(memory)
cat >pause.py <<'EOF'
import sys
from clients import knowing
h = knowing("server.sock", 256 << 20)
for at in range(80 << 20, 160 << 20, 1 << 18):
    h.pread(1 << 18, at)
print("now", flush=True)
sys.stdin.read()
EOF
coproc pausing { exec "$python" pause.py; }
pids+=("$pausing_PID")
read -r _ <&"${pausing[0]}"
[ -n "$sanitizers" ] || ! has_given_back || fail "no memory was used"
wait_until 20 has_given_back
eval "exec ${pausing[1]}>&-"
wait "$pausing_PID"

# Eight at once share the memory; those that leave give theirs back.
clients=()
for i in {1..8}; do
  bounded nbdcopy --connections=1 "$uri" "copy$i.raw" &
  clients+=($!)
done
for i in {1..6}; do
  timeout -s KILL "0.$((i + 1))" nbdcopy "$uri" null: || :
done
for i in {1..8}; do
  wait "${clients[i - 1]}" || fail "client $i of 8 ended with $?"
  same "copy$i.raw" "client $i of 8"
done
! our_errors nbdkit.log || fail "something was logged"

# The server dies while all of this is under way.
nbdcopy "$uri" null: 2>lost &
copy=$!
sleep 0.1
kill -9 "$qemu_pid"
! wait "$copy" || echo "it had everything already"
! bounded nbdinfo --size "$uri" 2>/dev/null || fail "it is served on"
says_once_lost
near
leaves_nothing
