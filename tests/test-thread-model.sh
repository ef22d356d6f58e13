#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A client's requests are under way at once, but where that would be the end of
# an nbdkit that does not bear clients that vanish: with one before 1.34, what
# comes from a server is asked for one by one.
. "$(dirname "$0")/functions.sh"

qemu-img create -q -f qcow2 disk.qcow2 1M
qemu-img bitmap --add disk.qcow2 monday
qemu-nbd -r -t -e 20 -B monday -f qcow2 -k "$PWD/qemu.sock" disk.qcow2 &
pids+=($!)
wait_until 10 listens qemu.sock

# expect HOW ARGS…: how nbdkit says that requests are processed.
expect ()
{
  local how=$1
  shift
  rm -f nbdkit.log
  nbdkit_options=(-v "${options[@]}")
  start_nbdkit server.sock "$@"
  nbdinfo "nbd+unix:///?socket=$PWD/server.sock" >info
  stop_nbdkit
  grep -q "processing requests $how" nbdkit.log || fail "$*: not $how"
}

uri=uri=nbd+unix:///?socket=$PWD/qemu.sock
options=()
expect 'with .* threads' disk.qcow2
case $(nbdkit --version) in
  'nbdkit 1.32.'*) expect serially "$uri" ;;
  *) expect 'with .* threads' "$uri" ;;
esac
options=(-D checkpoint.parallel=1)
expect 'with .* threads' "$uri"
