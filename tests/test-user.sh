#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# nbdkit --user: the storage daemon that read the image as the user who starts
# nbdkit makes room for one of the user that nbdkit becomes, however it is
# started.  One who is not root can become nobody else, and keeps the first.
. "$(dirname "$0")/functions.sh"

user=$(id -u) group=$(id -g) options=()
if [ "$user" -eq 0 ]; then
  user=65534 group=65534 options=(-u 65534 -g 65534)
  chmod 777 .
fi
mkdir -m 1777 tmp
export TMPDIR=$PWD/tmp
guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 2 1M 64k' disk.qcow2
chmod 444 disk.qcow2
before=$(md5sum disk.qcow2)

# The owners of all daemons that hold the image.
cat >owners <<'END'
for pid in $(pgrep qemu-storage); do
  ! ls -l "/proc/$pid/fd" 2>/dev/null | grep -qF "$PWD/disk.qcow2" \
    || stat -c %u:%g "/proc/$pid"
done
END
cat >client.py <<'END'
import nbd, sys
h = nbd.NBD()
h.add_meta_context("base:allocation")
h.connect_unix(sys.argv[1])
assert h.pread(4, 1024 * 1024) == b"\2\2\2\2"
got = []
h.block_status(2 * 1024 * 1024, 0, lambda c, o, e, x: got.extend(e))
assert got == [1024 * 1024, 1, 65536, 0, 1024 * 1024 - 65536, 1], got
END
is_alone () { [ "$(bash owners)" = "$user:$group" ]; }
is_up () { "$python" client.py "$PWD/server.sock" 2>/dev/null; }

for mode in foreground background; do
  rm -f nbdkit.pid server.sock
  if [ $mode = foreground ]; then
    nbdkit -f "${options[@]}" -U "$PWD/server.sock" -P "$PWD/nbdkit.pid" \
      "$plugin" disk.qcow2 &
    pids+=($!)
  else
    nbdkit "${options[@]}" -U "$PWD/server.sock" -P "$PWD/nbdkit.pid" \
      "$plugin" disk.qcow2
  fi
  wait_until 10 test -s nbdkit.pid
  nbdkit_pid=$(cat nbdkit.pid)
  pids+=("$nbdkit_pid")
  wait_until 10 is_up
  "$python" client.py "$PWD/server.sock"
  wait_until 10 is_alone
  find_daemon "$nbdkit_pid"
  kill "$nbdkit_pid"
  wait_until 10 eval '! kill -0 "$daemon" 2>/dev/null'
  leaves_nothing
done

nbdkit "${options[@]}" -U - "$plugin" disk.qcow2 \
  --run "$python"' client.py "$unixsocket" && bash owners' >owners.log
[ "$(cat owners.log)" = "$user:$group" ] \
  || fail "--run: the daemons are of $(cat owners.log)"
leaves_nothing

# One who may not read the image refuses every client, and says why.
if [ "$user" -ne "$(id -u)" ]; then
  chmod 400 disk.qcow2
  nbdkit "${options[@]}" -U - "$plugin" disk.qcow2 \
    --run '! nbdinfo "$uri"' 2>refused.log || fail "a client was served"
  cat refused.log
  grep "$PWD/disk.qcow2: .*Permission denied" refused.log
  leaves_nothing
  chmod 444 disk.qcow2
fi
[ "$(md5sum disk.qcow2)" = "$before" ] || fail "the image was changed"
[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
