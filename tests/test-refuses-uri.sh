#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# uri= that is malformed, leads nowhere, to no NBD server, to a silent one or
# to no such export is refused at start-up, in bounded time and one line.
. "$(dirname "$0")/functions.sh"

mkdir tmp
export TMPDIR=$PWD/tmp

# Malformed.
refuses 'error: vda: .*; .' uri=vda
refuses 'error: http://localhost/: .*; .' uri=http://localhost/
refuses 'error: nbd\+unix:///vda: .*socket.*; .' uri=nbd+unix:///vda

# Nobody there.
gone="nbd+unix:///vda?socket=$PWD/none.sock"
refuses 'none.sock: .*No such file or directory; .' "uri=$gone" bitmap=monday
! type_printed 'what it exports, type ' 2>typed || fail "there is a server"
grep -q 'connect: No such file\|connect.*none.sock.*No such file' typed \
  || fail "$(cat typed)"
for bad in vda unix:/run/vda.sock nbd+unix:///vda; do
  refuses 'write it as nbd.unix:///EXPORT.socket=PATH or nbd://HOST/EXPORT$' \
    "uri=$bad"
done

# server SCRIPT: a TCP server that is no NBD server; $port.
server ()
{
  rm -f port
  "$python" - <<END &
import os, socket, time
s = socket.create_server(("127.0.0.1", 0))
with open("port.new", "w") as f:
    f.write(str(s.getsockname()[1]))
os.rename("port.new", "port")
kept = []
while True:
    c = s.accept()[0]
    kept.append(c)
    $1
END
  server_pid=$!
  pids+=("$server_pid")
  wait_until 10 test -s port
  port=$(cat port)
}
server 'c.close()'
refuses "error: nbd://127.0.0.1:$port: .*; ." "uri=nbd://127.0.0.1:$port"
kill "$server_pid"
wait "$server_pid" 2>/dev/null || :
# The port is closed now.
refuses "127.0.0.1:$port: .*refused; .*, type nbdinfo --list nbd://127.0.0.1:$port\$" \
  "uri=nbd://127.0.0.1:$port"
server 'c.sendall(b"HTTP/1.1 400 Bad Request\r\n\\r\\n" * 100)'
refuses "error: nbd://127.0.0.1:$port: .*NBD.*; ." "uri=nbd://127.0.0.1:$port"
# Says it is an NBD server, and leaves.
server 'c.sendall(b"NBDMAGICIHAVEOPT\0\3"); c.close()'
refuses "error: nbd://127.0.0.1:$port: .*; ." "uri=nbd://127.0.0.1:$port"

# Says nothing, or stops speaking: both at once, as that is awaited.
server 'pass'
silent=$port
server 'c.sendall(b"NBDMAGICIHAVEOPT\0\3")'
stalls=$port
SECONDS=0
refuses "127.0.0.1:$stalls.*no answer within [0-9]+ s; ." \
  "uri=nbd://127.0.0.1:$stalls" >stalled.log 2>&1 &
background=$!
(
  mkdir silent
  cd silent
  refuses "error: nbd://127.0.0.1:$silent: no answer within [0-9]+ s; ." \
    "uri=nbd://127.0.0.1:$silent"
)
wait $background || fail "the server that stalls: $(cat stalled.log)"
[ $SECONDS -le 15 ] || fail "it took $SECONDS s"

# Another export than there is.
guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
qemu-nbd -r -f qcow2 -t -x vda -B monday -k "$PWD/qemu.sock" disk.qcow2 2>/dev/null &
pids+=($!)
wait_until 10 listens qemu.sock
for more in bitmap=monday checkpoint=monday disk=vda; do
  refuses "nbd\+unix:///vdb\?socket=.*no export named .vdb.*; ." \
    "uri=nbd+unix:///vdb?socket=$PWD/qemu.sock" $more
done
type_printed 'what it exports, type ' >typed
grep -q '^export="vda"' typed || fail "it does not show the export: $(cat typed)"
refuses "no export named ''.*; ." \
  "uri=nbd+unix:///?socket=$PWD/qemu.sock" bitmap=monday
type_printed 'what it exports, type ' >typed
grep -q '^export="vda"' typed || fail "it does not show the export: $(cat typed)"
serve "uri=nbd+unix:///vda?socket=$PWD/qemu.sock" -- 'nbdinfo --size "$uri"'

[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
