#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# When the private storage daemon behind file= is lost, every read and every
# block status fails with EIO, the log says why once, and nbdkit goes on and
# ends in an orderly way.
. "$(dirname "$0")/functions.sh"

mkdir tmp
export TMPDIR=$PWD/tmp

qemu-img create -q -f qcow2 disk.qcow2 16G
qemu-img bitmap --add disk.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 1 0 1M' disk.qcow2

for view in overlay sparse guard; do
  rm -f nbdkit.log
  start_nbdkit server.sock disk.qcow2 view=$view
  find_daemon "$nbdkit_pid"
  timeout 60 "$python" "$srcdir/tests/server-gone-clients.py" server.sock \
    "$daemon" || fail "view=$view: the clients ended with $?"
  says_once_lost
  cat nbdkit.log
  grep -q 'disk vda .*lost the server: .*; every read fails' nbdkit.log \
    || fail "the log does not say what follows"
  leaves_nothing
done
[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
