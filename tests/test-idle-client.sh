#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A client that does nothing for a while keeps nothing waiting in QEMU: before a
# checkpoint, among others, it waits for all requests to end, with the guest
# stopped, and so for an answer that we asked for ahead and do not read.
. "$(dirname "$0")/functions.sh"

qemu-img create -q -f qcow2 data.qcow2 64M
qemu-storage-daemon --nbd-server addr.type=unix,addr.path=qemu.sock \
  --chardev socket,path=qmp.sock,server=on,wait=off,id=qmp \
  --monitor chardev=qmp \
  --blockdev driver=null-co,node-name=map,size=7516192768 \
  --blockdev driver=qcow2,node-name=data,file.driver=file,file.filename=data.qcow2 \
  --pidfile qemu.pid &
pids+=($!)
wait_until 10 test -s qemu.pid

cat >qmp.py <<'END'
import json, socket
class Qmp:
    def __init__(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        s.connect("qmp.sock")
        self.file = s.makefile("rw")
        self.file.readline()
        self("qmp_capabilities")
    def __call__(self, command, **arguments):
        self.file.write(json.dumps({"execute": command,
                                    "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if "event" not in answer:
                assert "return" in answer, answer
                return
END
cat >prepare.py <<'END'
import nbd
from qmp import Qmp
GiB = 1 << 30
qmp = Qmp()
def prepare(node, granularity, offsets, length):
    qmp("block-dirty-bitmap-add", node=node, name="monday",
        granularity=granularity)
    qmp("block-export-add", type="nbd", id="w", name="w", writable=True,
        **{"node-name": node})
    h = nbd.NBD()
    h.set_export_name("w")
    h.connect_unix("qemu.sock")
    data, waiting = nbd.Buffer.from_bytearray(bytearray(b"x" * length)), []
    for offset in offsets:
        waiting.append(h.aio_pwrite(data, offset))
        while len(waiting) > 15:
            h.poll(-1)
            waiting = [c for c in waiting if not h.aio_command_completed(c)]
    while waiting:
        h.poll(-1)
        waiting = [c for c in waiting if not h.aio_command_completed(c)]
    h.shutdown()
    qmp("block-export-del", id="w", mode="hard")
    qmp("block-dirty-bitmap-disable", node=node, name="monday")
    qmp("block-export-add", type="nbd", id=node, name=node,
        bitmaps=["monday"], **{"node-name": node})
# What is asked for ahead of a client who asks for the first bytes only is
# more than fits into a socket.
prepare("map", 4096, range(4 * GiB, 4 * GiB + 30000 * 8192, 8192), 4096)
prepare("data", 65536, range(0, 16 << 20, 1 << 20), 1 << 20)
END
"$python" prepare.py

cat >client.py <<'END'
import nbd, sys, time
from qmp import Qmp
what = sys.argv[1]
qmp = Qmp()
h = nbd.NBD()
h.add_meta_context("base:allocation")
h.connect_unix("server.sock")
h.block_status(65536, 0, lambda *_: 0)
for turn in range(10):
    if what == "map":
        h.block_status(65536, turn * 65536, lambda *_: 0)
    else:
        for n in range(turn * 23, turn * 23 + 23):
            assert h.pread(65536, n * 65536) == b"x" * 65536
    began = time.monotonic()
    # As libvirt begins a checkpoint or a backup.
    qmp("transaction", actions=[{
        "type": "block-dirty-bitmap-add",
        "data": {"node": what, "name": "b%d" % turn}}])
    took = time.monotonic() - began
    print("%s: %.3f s" % (what, took))
    assert took < 5
if what == "map":
    got = []
    h.block_status(1 << 20, 4 << 30, lambda c, o, e, x: got.extend(e))
    assert got[:4] == [4096, 0, 4096, 1], got[:4]
h.shutdown()
END

for what in map data; do
  rm -f nbdkit.log
  start_nbdkit server.sock \
    "uri=nbd+unix:///$what?socket=$PWD/qemu.sock" bitmap=monday
  timeout 60 "$python" client.py $what \
    || { cat nbdkit.log; fail "$what: QEMU waits for an idle client"; }
  stop_nbdkit
done
