#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A server that is slow, and answers each question: who asks too much for the time
# of one request fails, and no one else.  The server is not lost for that.
. "$(dirname "$0")/functions.sh"

# So many questions of 0.4 s that a description, or a map, takes longer than the
# patience of four.
ANSWERS_AFTER=0.4 "$python" "$srcdir/tests/huge-server.py" upstream.sock \
  $((300 << 30)) 0-65536 &
pids+=($!)
wait_until 10 test -S upstream.sock
nbdkit_options=(-D checkpoint.patience=4)
start_nbdkit server.sock "uri=nbd+unix:///?socket=$PWD/upstream.sock" \
  checkpoint=monday

bounded "$python" - <<'END'
import subprocess, threading, time
import nbd

def opened():
    h = nbd.NBD()
    h.add_meta_context("base:allocation")
    h.connect_unix("server.sock")
    return h

def read_on():
    h, n = opened(), 0
    while not over.is_set():
        assert h.pread(4096, 0) == b"\x55" * 4096
        n += 1
        time.sleep(0.1)
    reads.append(n)

over, reads = threading.Event(), []
reader = threading.Thread(target=read_on)
reader.start()
told = subprocess.run(
    ["nbdinfo", "nbd+unix:///?socket=server.sock"], capture_output=True,
    text=True)
assert "unusable: " in told.stdout, told
# The whole map, in one request after the other.
h, failed = opened(), 0
for at in range(0, 300 << 30, 2 << 30):
    try:
        h.block_status(2 << 30, at, lambda *extents: 0)
    except nbd.Error:
        failed += 1
h.pread(4096, 0)
over.set()
reader.join()
assert reads and reads[0] > 20, reads
print("%d reads meanwhile, %d questions that took too long" % (reads[0], failed))
END
! grep -i 'lost\|gone' nbdkit.log || fail "the server was lost"

# One that does not answer is lost, and that is logged, whoever asked.
stop_nbdkit
ANSWERS_AFTER=60 "$python" "$srcdir/tests/huge-server.py" silent.sock \
  $((300 << 30)) 0-65536 &
pids+=($!)
wait_until 10 test -S silent.sock
: >nbdkit.log
start_nbdkit server.sock "uri=nbd+unix:///?socket=$PWD/silent.sock" \
  checkpoint=monday
bounded nbdinfo "nbd+unix:///?socket=server.sock" >/dev/null || :
wait_until 10 grep -q 'lost the server' nbdkit.log

# One that lets in a single client, over a narrow way: who asks for more than it
# brings in time fails, and the server is not lost for that, either.
stop_nbdkit
qemu-img create -q -f qcow2 disk.qcow2 64M
qemu-img bitmap --add disk.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 7 0 64M' disk.qcow2
qemu-nbd -r -t -e 1 -f qcow2 -B monday -k "$PWD/near.sock" disk.qcow2 &
pids+=($!)
wait_until 10 listens near.sock
"$python" "$srcdir/tests/slow-relay.py" narrow.sock near.sock 16e6 &
pids+=($!)
wait_until 10 listens narrow.sock
: >nbdkit.log
nbdkit_options=(-D checkpoint.patience=8)
start_nbdkit server.sock "uri=nbd+unix:///?socket=$PWD/narrow.sock"
bounded "$python" - <<'END'
import threading
import nbd

def read_much():
    h = nbd.NBD()
    h.connect_unix("server.sock")
    try:
        h.pread(32 << 20, 0)
    except nbd.Error:
        failed.append(h)

failed = []
clients = [threading.Thread(target=read_much) for _ in range(8)]
for client in clients:
    client.start()
for client in clients:
    client.join()
assert failed, "all 256 MiB came in 8 s"
h = nbd.NBD()
h.connect_unix("server.sock")
assert h.pread(4096, 4096) == b"\x07" * 4096
print("%d of 8 reads took too long" % len(failed))
END
! grep -i 'lost\|gone' nbdkit.log || fail "the server was lost for much that is asked"
