#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# "vda@" of a server that is not ours is of that very server, in each view: not
# of another that has taken its address since, and also where no other client is
# let in.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/two-servers.sh"

two_images 16M b0
port=$(free_ports)
address=(-b 127.0.0.1 -p "$port")
cat >client.py <<'EOT'
import nbd, sys
def opened (name):
    h = nbd.NBD ()
    h.set_export_name (name)
    h.connect_unix ("server.sock")
    return h
opened ("vda").pread (512, 0)
open ("turn", "w").close ()
sys.stdin.readline ()
try:
    opened ("vda@").pread (512, 0)
except nbd.Error:
    sys.exit (0)
sys.exit ("the whole disk of another server is served")
EOT
for view in overlay sparse guard; do
  rm -f turn go
  mkfifo go
  start_qemu a.qcow2
  start_nbdkit server.sock uri="nbd://127.0.0.1:$port" view=$view
  bounded "$python" client.py <go &
  client=$!
  pids+=($client)
  exec 7>go
  wait_until 20 test -e turn
  kill -KILL "$qemu"
  wait "$qemu" 2>/dev/null || :
  start_qemu b.qcow2
  echo >&7
  exec 7>&-
  wait $client || fail "view=$view"
  stop_nbdkit
  kill -KILL "$qemu"
  wait "$qemu" 2>/dev/null || :
done

for shared in 1 8; do
  for view in overlay sparse guard; do
    rm -f q.sock
    qemu-nbd -t -r -f qcow2 -e $shared -B b0 -k "$PWD/q.sock" a.qcow2 &
    server=$!
    pids+=($server)
    wait_until 20 listens q.sock
    serve uri="nbd+unix:///?socket=$PWD/q.sock" view=$view -- '
      nbdinfo --list --json "$uri" >list.json' \
      || fail "view=$view, --shared=$shared: not all that is listed can be opened"
    jq -e '.exports | length == 3' list.json >/dev/null || fail "$(cat list.json)"
    kill $server
    wait $server || :
  done
done
