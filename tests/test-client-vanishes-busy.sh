#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Clients that vanish with many requests unanswered leave the server working
# for those that stay and those that come next.  nbdkit 1.32 itself aborts
# then, whatever the plugin ("Assertion `sock >= 0' failed"), unless requests
# are serialized, as they are with uri=, and with file= as the manual says.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/vanishing-clients.sh"

qemu-img create -q -f qcow2 disk.qcow2 512M
qemu-img bitmap --add disk.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 7 0 128M' disk.qcow2
cat >vanish.py <<'END'
import nbd, os, signal
h = nbd.NBD()
h.add_meta_context("base:allocation")
h.connect_unix("server.sock")
buffers = [nbd.Buffer(8 * 1024 * 1024) for _ in range(32)]
for i, buffer in enumerate(buffers):
    h.aio_pread(buffer, i * 1024 * 1024)
    h.aio_block_status(1024 * 1024, i * 1024 * 1024, lambda *a: 0)
h.poll(1000)
os.kill(os.getpid(), signal.SIGKILL)
END

case $(nbdkit --version) in
  'nbdkit 1.32.'*)
    nbdkit_options=(--filter=noparallel)
    start_nbdkit server.sock disk.qcow2 serialize=requests ;;
  *) start_nbdkit server.sock disk.qcow2 ;;
esac
clients_vanish 4 busy busy

nbdkit_options=()
qemu-nbd -r -f qcow2 -t -e 20 -B monday -k "$PWD/qemu.sock" disk.qcow2 &
pids+=($!)
wait_until 10 listens qemu.sock
start_nbdkit server.sock "uri=nbd+unix:///?socket=$PWD/qemu.sock"
clients_vanish 4 busy busy
