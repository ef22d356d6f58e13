#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Clients that vanish in the middle of their requests leave the server working
# for those that stay and those that come next.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/vanishing-clients.sh"

qemu-img create -q -f qcow2 disk.qcow2 512M
qemu-img bitmap --add disk.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 7 0 128M' disk.qcow2
start_nbdkit server.sock disk.qcow2

cat >vanish.py <<'END'
import nbd, os, signal, socket, struct, sys
h = nbd.NBD()
h.add_meta_context("base:allocation")
h.connect_unix("server.sock")
if sys.argv[1] == "handshake":          # before the negotiation ends
    s = socket.socket(socket.AF_UNIX)
    s.connect("server.sock")
    s.recv(18)
    s.sendall(struct.pack(">I", 3)[:2])
elif sys.argv[1] == "request":          # in the middle of a request
    os.write(h.aio_get_fd(), struct.pack(">IHH", 0x25609513, 0, 0))
else:                                   # in the middle of a reply
    buffer = nbd.Buffer(32 * 1024 * 1024)
    h.aio_pread(buffer, 4096)
    h.poll(1000)
os.kill(os.getpid(), signal.SIGKILL)
END

clients_vanish 2 handshake request reply reply
