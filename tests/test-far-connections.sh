#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A server far away: all connections but the first are made while clients are
# served already.  Clients and servers may leave meanwhile, and a connection that
# meets another server is the end.
. "$(dirname "$0")/functions.sh"
export PYTHONPATH=$srcdir/tests

qemu-img create -q -f qcow2 disk.qcow2 12G
qemu-img bitmap --add disk.qcow2 monday
for i in {0..499}; do
  echo "write -q -P $((i % 255 + 1)) $((i * 24000 / 64 * 64))k 64k"
done >commands
qemu-io -f qcow2 --cache=unsafe disk.qcow2 <commands >/dev/null
cp disk.qcow2 larger.qcow2
qemu-img resize -q larger.qcow2 13G

read -r near far third < <(free_ports 3)
# Without a connection, which would be the first one.
port_listens ()
{
  grep -q "$(printf ':%04X 00000000:0000 0A' "$1")" /proc/net/tcp
}

# start_qemu FILE PORT OPTION
start_qemu ()
{
  qemu-nbd -r -t -b 127.0.0.1 -p "$2" -B monday -f qcow2 "$3" "$1" &
  qemu=$!
  pids+=($qemu)
  wait_until 10 port_listens "$2"
}
start_far ()
{
  start_qemu disk.qcow2 "$near" "$1"
  "$builddir/tests/delay-relay" 20 "tcp:$far" "tcp:$near" &
  relay=$!
  pids+=($relay)
  wait_until 10 port_listens "$far"
  : >nbdkit.log
}
stop_far ()
{
  kill "$qemu" "$relay" 2>/dev/null || :
  wait "$qemu" "$relay" 2>/dev/null || :
}
uri=uri=nbd://127.0.0.1:$far
ours=nbd+unix:///?socket=$PWD/server.sock
# dirty CONTEXT TYPE URI: where it is, as one line.
dirty ()
{
  nbdinfo --json --map="$1" "$3" \
    | jq -c "map(select(.type == $2) | [.offset, .length])"
}
quiet ()
{
  ! our_errors nbdkit.log || fail "$1: something was logged"
}
same_map ()
{
  dirty base:allocation 0 "$ours" >got
  cmp truth got || fail "$1: another map"
}

# The map is the server's, whoever leaves while connections are made.
start_far --shared=40
dirty qemu:dirty-bitmap:monday 1 "nbd://127.0.0.1:$near" >truth
for view in overlay sparse; do
  start_nbdkit server.sock "$uri" checkpoint=monday view=$view
  # They only read: nbdkit 1.32 itself aborts where it sends a map to nobody.
  for i in {1..6}; do
    timeout -s KILL "0.0$i" nbdcopy --no-extents "$ours" null: || :
  done
  same_map "view=$view"
  stop_nbdkit
  quiet "view=$view"
done

# Told to end while they are made.
for i in {1..5}; do
  start_nbdkit server.sock "$uri" checkpoint=monday
  sleep "0.0$i"
  kill "$nbdkit_pid"
  wait "$nbdkit_pid" || fail "ended with $?"
done
quiet "told to end"

# The server dies meanwhile.
start_nbdkit server.sock "$uri" checkpoint=monday
kill -KILL "$qemu"
! bounded nbdinfo --map "$ours" >/dev/null 2>&1 || fail "it was served on"
says_once_lost
stop_far

# One client only.
start_far --shared=1
start_nbdkit server.sock "$uri" checkpoint=monday
same_map "one client"
stop_nbdkit
quiet "one client"
stop_far

# All but the first connection lead to another server.
cat >forward.py <<'END'
import socket, sys
from carrying import carry_both_ways
listen, first, others = map(int, sys.argv[1:])
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", listen))
s.listen(20)
to = first
while True:
    a = s.accept()[0]
    b = socket.create_connection(("127.0.0.1", to))
    to = others
    carry_both_ways(a, b)
END
start_qemu larger.qcow2 "$third" --shared=40
start_qemu disk.qcow2 "$near" --shared=40
"$python" forward.py "$far" "$near" "$third" &
pids+=($!)
wait_until 10 port_listens "$far"
: >nbdkit.log
start_nbdkit server.sock "$uri" checkpoint=monday
wait_until 10 grep -q 'tells two clients two sizes' nbdkit.log
! bounded nbdinfo --map "$ours" >/dev/null 2>&1 \
  || fail "two servers were served as one"
stop_nbdkit
[ "$(grep -c 'two sizes' nbdkit.log)" -eq 1 ] || fail "not said once"
