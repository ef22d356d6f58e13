#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# However nbdkit ends (SIGTERM, SIGINT, SIGKILL, the end of --run's command),
# in the foreground or as a daemon, with or without a client: its storage
# daemon ends too, no file is left, and the image is as it was.
. "$(dirname "$0")/functions.sh"

mkdir tmp
export TMPDIR=$PWD/tmp

guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 2 1M 64k' disk.qcow2
state () { md5sum disk.qcow2; stat -c '%y %s %i %a' disk.qcow2; }
before=$(state)

check_clean ()
{
  wait_until 10 daemon_is_gone
  leaves_nothing
  [ -z "$(ls -A tmp)" ] || fail "$1: left in TMPDIR: $(ls -A tmp)"
  [ "$(state)" = "$before" ] || fail "$1: the image was changed"
}
daemon_is_gone () { ! kill -0 "$daemon" 2>/dev/null; }

# A client that reads, says so, and stays until client.leave exists: nbdkit
# lets its clients finish.
cat >client.py <<'END'
import nbd, os, sys, time
h = nbd.NBD()
h.add_meta_context("base:allocation")
h.connect_unix("server.sock")
assert h.pread(4, 1024 * 1024) == b"\2\2\2\2"
got = []
h.block_status(2 * 1024 * 1024, 0, lambda c, o, e, x: got.extend(e))
assert got == [1024 * 1024, 1, 65536, 0, 1024 * 1024 - 65536, 1], got
open("client.ready", "w").close()
if len(sys.argv) > 1:
    while not os.path.exists("client.leave"):
        time.sleep(0.05)
END

for signal in TERM INT KILL; do
  for client in none left stays; do
    start_nbdkit server.sock disk.qcow2
    find_daemon "$nbdkit_pid"
    rm -f client.ready client.leave
    case $client in
      left) "$python" client.py ;;
      stays) "$python" client.py stay &
             stays=$!
             pids+=("$stays")
             wait_until 10 test -e client.ready ;;
    esac
    kill -s $signal "$nbdkit_pid"
    [ $signal$client = KILLstays ] || touch client.leave
    status=0
    wait "$nbdkit_pid" 2>/dev/null || status=$?
    [ $signal = KILL ] || [ $status -eq 0 ] \
      || fail "after SIG$signal nbdkit ended with $status"
    check_clean "SIG$signal, client: $client"
    touch client.leave
    [ $client != stays ] || wait "$stays" || fail "the client failed"
  done
done

# --run's command ends, well or badly; its status is passed on.  As users have it, the
# socket is nbdkit's own, in a folder that goes with it.
for wanted in 0 3; do
  status=0
  wanted=$wanted private_socket=nbdkit nbdkit -U - "$plugin" disk.qcow2 --run '
    nbdinfo --map "$uri" >map
    dirname "$unixsocket" >folder
    for pid in $(pgrep qemu-storage); do
      ! ls -l /proc/$pid/fd | grep -q "$PWD/disk.qcow2" || echo $pid
    done >daemon.pid 2>ls.log
    exit $wanted' || status=$?
  [ $status -eq $wanted ] || fail "--run gave $status instead of $wanted"
  daemon=$(cat daemon.pid)
  [ -n "$daemon" ] || fail "no storage daemon ran"
  check_clean "--run that ends with $wanted"
  [ "$(dirname "$(cat folder)")" = /tmp ] || fail "the socket was in $(cat folder)"
  [ ! -e "$(cat folder)" ] || fail "$(cat folder) is left"
done

# The server of --run is killed: nbdkit itself goes on until the command ends.
status=0
nbdkit -U - -P "$PWD/nbdkit.pid" "$plugin" disk.qcow2 --run '
  nbdinfo --size "$uri"
  for pid in $(pgrep qemu-storage); do
    ! ls -l /proc/$pid/fd | grep -q "$PWD/disk.qcow2" || echo $pid
  done >daemon.pid 2>ls.log
  kill -s KILL $(cat nbdkit.pid)' || status=$?
daemon=$(cat daemon.pid)
[ -n "$daemon" ] || fail "no storage daemon ran"
check_clean "--run whose server is killed"

# As a daemon in the background.
for signal in TERM INT KILL; do
  rm -f nbdkit.pid server.sock
  nbdkit -U "$PWD/server.sock" -P "$PWD/nbdkit.pid" "$plugin" disk.qcow2
  wait_until 10 test -s nbdkit.pid
  background=$(cat nbdkit.pid)
  pids+=("$background")
  find_daemon "$background"
  "$python" client.py
  sleep 0.2
  "$python" client.py
  kill -0 "$daemon" || fail "the storage daemon ended before its time"
  kill -s $signal "$background"
  check_clean "SIG$signal in the background"
  ! kill -0 "$background" 2>/dev/null || wait_until 10 \
    eval '! kill -0 "$background" 2>/dev/null'
done
