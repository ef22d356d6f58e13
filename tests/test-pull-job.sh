#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# uri= on what libvirt's pull-mode backup makes of QEMU: a scratch image over
# the live disk, a copy-before-write job, and the exported bitmap backup-vda.
# The guest goes on writing; the backup holds the disk as it was at the start.
. "$(dirname "$0")/functions.sh"

guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
cp disk.qcow2 monday.qcow2
qemu-io -f qcow2 -c 'write -q -P 2 1M 300k' -c 'write -q -z 3M 1M' \
  -c 'write -q -P 3 40M 64k' disk.qcow2
qemu_dirty disk.qcow2 monday >want
cp disk.qcow2 start.qcow2
qemu-img create -q -f qcow2 -b disk.qcow2 -F qcow2 scratch.qcow2

cat >job.py <<'EOF'
import json, subprocess, sys

qemu = subprocess.Popen(
    ["qemu-storage-daemon", "--chardev", "stdio,id=m", "--monitor",
     "chardev=m", "--nbd-server", "addr.type=unix,addr.path=qemu.sock",
     "--blockdev", "qcow2,node-name=disk,file.driver=file,"
     "file.filename=disk.qcow2",
     "--export", "nbd,id=guest,node-name=disk,name=guest,writable=on"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

def qmp(command, **arguments):
    arguments = {k.replace("_", "-"): v for k, v in arguments.items()}
    print(json.dumps({"execute": command, "arguments": arguments}),
          file=qemu.stdin, flush=True)
    while True:
        answer = json.loads(qemu.stdout.readline())
        assert "error" not in answer, answer
        if "return" in answer:
            return

qemu.stdout.readline()
qmp("qmp_capabilities")
qmp("blockdev-add", driver="qcow2", node_name="scratch", backing="disk",
    file={"driver": "file", "filename": "scratch.qcow2"})
qmp("transaction", actions=[
    {"type": "block-dirty-bitmap-add", "data": {
        "node": "disk", "name": "backup-vda", "persistent": False,
        "disabled": True}},
    {"type": "block-dirty-bitmap-merge", "data": {
        "node": "disk", "target": "backup-vda", "bitmaps": ["monday"]}},
    {"type": "blockdev-backup", "data": {
        "job-id": "job", "device": "disk", "target": "scratch",
        "sync": "none"}}])
qmp("block-export-add", type="nbd", id="vda", node_name="scratch",
    name="vda", writable=False, bitmaps=["backup-vda"])
open("ready", "w").close()
sys.stdin.read()
qmp("job-cancel", id="job")
# QEMU 7.2 may sleep on after a SIGTERM that comes right after a command.
qmp("quit")
sys.exit(qemu.wait())
EOF
mkfifo hold
bounded "$python" job.py <hold &
pids+=($!)
exec 7>hold
wait_until 20 test -e ready

cat >guest.py <<'EOF'
import nbd, os, random
h = nbd.NBD()
h.connect_uri("nbd+unix:///guest?socket=qemu.sock")
size = h.get_size()
while not os.path.exists("enough"):
    h.pwrite(b"\xee" * 65536, random.randrange(size // 65536) * 65536)
EOF
"$python" guest.py &
guest=$!
pids+=("$guest")

uri="nbd+unix:///vda?socket=$PWD/qemu.sock"
refuses 'not offer bitmap monday, but backup-vda, .*pull-mode.*add bitmap=backup-vda' \
  uri="$uri" checkpoint=monday
serve uri="$uri" checkpoint=monday bitmap=backup-vda -- '
  qemu-img convert -f raw -B monday.qcow2 -F qcow2 -O qcow2 "$uri" inc.qcow2'
touch enough
wait "$guest" || fail "the guest could not write"
exec 7>&-
wait "${pids[0]}" || fail "the job failed"

qemu-img compare -f qcow2 -F qcow2 start.qcow2 inc.qcow2
allocated inc.qcow2 >got
diff -u want got || fail "other clusters than the bitmap's are allocated"
! qemu-img compare -q -f qcow2 -F qcow2 disk.qcow2 inc.qcow2 \
  || fail "the guest did not write"
