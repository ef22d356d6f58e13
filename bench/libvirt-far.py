# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Usage: libvirt-far.py ROUNDS PLUGIN URI HOST, from libvirt-far.sh.
# Prints lines "WHAT took SECONDS", each way in turn.
import os
import statistics
import subprocess
import sys
import time

import nbd

from first_byte import first_byte

rounds, plugin, uri, host = sys.argv[1:]
PORT = 10809
REQUEST = """<domainbackup mode='pull'><incremental>monday</incremental>
<server transport='tcp' name='%s' port='%d'/></domainbackup>""" % (host, PORT)
SIZE = 1 << 30
CLIENTS = {
    "nbdcopy": ["nbdcopy", "$uri", "null:"],
    "qemu-img": ["qemu-img", "convert", "-n", "-f", "raw", "$uri",
                 "--target-image-opts",
                 "driver=raw,file.driver=null-co,file.size=%d" % SIZE],
}


def virsh(*args, **options):
    return subprocess.run(["virsh", "-q", "-c", uri, *args],
                          stdout=subprocess.DEVNULL, **options)


def wait_for_no_job():
    while virsh("backup-dumpxml", "web1",
                stderr=subprocess.DEVNULL).returncode == 0:
        pass


def copy(client, server):
    subprocess.run([word.replace("$uri", server)
                    for word in CLIENTS[client]], check=True)


def begin():
    with open("backup.xml", "w") as file:
        file.write(REQUEST)
    virsh("backup-begin", "web1", "backup.xml", check=True)


def direct(client):
    start = time.monotonic()
    begin()
    begun = time.monotonic()
    copy(client, "nbd://%s:%d/vda" % (host, PORT))
    copied = time.monotonic()
    virsh("domjobabort", "web1", check=True)
    wait_for_no_job()
    return begun - start, copied - begun


def ours(client):
    start = time.monotonic()
    server = subprocess.Popen(
        ["nbdkit", "-f", "-U", "far.sock", plugin, "libvirt=" + uri,
         "domain=web1", "checkpoint=monday", "nbd-tls=no", "view=sparse"])
    first_byte(server, "far.sock", "vda").shutdown()
    begun = time.monotonic()
    copy(client, "nbd+unix:///vda?socket=far.sock")
    copied = time.monotonic()
    server.terminate()
    if server.wait():
        sys.exit("nbdkit failed")
    os.unlink("far.sock")
    wait_for_no_job()
    return begun - start, copied - begun


def round_trip():
    begin()
    reader, took = nbd.NBD(), []
    reader.set_export_name("vda")
    reader.connect_tcp(host, str(PORT))
    for _ in range(9):
        start = time.monotonic()
        reader.pread(512, 0)
        took.append(time.monotonic() - start)
    reader.shutdown()
    virsh("domjobabort", "web1", check=True)
    wait_for_no_job()
    return statistics.median(took)


trip = round_trip()
for _ in range(int(rounds)):
    for client in CLIENTS:
        begun, copied = direct(client)
        started, ours_copied = ours(client)
        print("start over backup-begin, round trips took",
              (started - begun) / trip)
        for name, seconds, start in (("direct", copied, begun),
                                     ("ours", ours_copied, started)):
            print("%s: %s took" % (client, name), seconds)
            print("%s, with start: %s took" % (client, name), start + seconds,
                  flush=True)
