#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# What a killed start left in TMPDIR is removed by the next start; what may be in
# use, or is not ours, stays.
. "$(dirname "$0")/functions.sh"

qemu-img create -q -f qcow2 disk.qcow2 1M
qemu-img bitmap --add disk.qcow2 monday
mkdir "$tmpdir/T"
export TMPDIR=$tmpdir/T
cd "$TMPDIR"

name () { printf 'nbdkit-checkpoint-%016x' "$1"; }

# Dead: empty, or with a socket that nobody holds.
mkdir -m 700 "$(name 1)" "$(name 2)"
"$python" -c 'import socket, sys
socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$(name 2)/nbd"

# Alive: locked; or somebody has a socket there.
mkdir -m 700 "$(name 3)" "$(name 4)"
flock "$(name 3)" sleep 60 &
pids+=($!)
"$python" -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
time.sleep(60)' "$PWD/$(name 4)/nbd" &
pids+=($!)
wait_until 10 listens "$(name 4)/nbd"
is_locked () { ! flock -n "$(name 3)" true; }
wait_until 10 is_locked

# Not ours, by its name, by what is in it, by what it is, by its user.
mkdir -m 700 nbdkit-checkpoint-1 "$(name 5)0" nbdkit-checkpoint-000000000000000G \
  "$(name 6)" elsewhere
touch "$(name 6)/file" elsewhere/nbd
ln -s elsewhere "$(name 7)"
touch "$(name 8)"
kept=(nbdkit-checkpoint-1 "$(name 5)0" nbdkit-checkpoint-000000000000000G
      "$(name 3)" "$(name 4)/nbd" "$(name 6)/file" elsewhere/nbd "$(name 7)"
      "$(name 8)")
if [ "$(id -u)" = 0 ]; then
  mkdir -m 700 "$(name 9)"
  chown 1234 "$(name 9)"
  kept+=("$(name 9)")
fi

serve file="$tmpdir/disk.qcow2" checkpoint=monday -- true
for path in "${kept[@]}"; do
  [ -e "$path" ] || fail "$path was removed"
done
for i in 1 2; do
  [ ! -e "$(name $i)" ] || fail "$(name $i) is still there"
done
ls >left
printf '%s\n' left "${kept[@]%%/*}" | sort | diff - left \
  || fail "something is left, or was removed"
