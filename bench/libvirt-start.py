# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Usage: libvirt-start.py ROUNDS PLUGIN URI DOMAIN CHECKPOINT TARGET
# In turn: how long "virsh backup-begin" takes, and how long it takes from
# starting nbdkit to the first byte that a client has read.
import os
import statistics
import subprocess
import sys
import time

from first_byte import first_byte

rounds, plugin, uri, domain, checkpoint, target = sys.argv[1:]
request = """<domainbackup mode='pull'><incremental>%s</incremental>
<server transport='unix' socket='%s/virsh.sock'/></domainbackup>"""


def virsh(*args):
    subprocess.run(["virsh", "-q", "-c", uri, *args], check=True,
                   stdout=subprocess.DEVNULL)


def wait_for_no_job():
    while subprocess.run(["virsh", "-q", "-c", uri, "backup-dumpxml", domain],
                         capture_output=True).returncode == 0:
        time.sleep(0.01)


def by_virsh():
    with open("backup.xml", "w") as file:
        file.write(request % (checkpoint, os.getcwd()))
    start = time.monotonic()
    virsh("backup-begin", domain, "backup.xml")
    took = time.monotonic() - start
    virsh("domjobabort", domain)
    wait_for_no_job()
    return took


def by_nbdkit():
    start = time.monotonic()
    server = subprocess.Popen(["nbdkit", "-f", "-U", "bench.sock", plugin,
                               "libvirt=" + uri, "domain=" + domain,
                               "checkpoint=" + checkpoint])
    client = first_byte(server, "bench.sock", target)
    took = time.monotonic() - start
    client.shutdown()
    server.terminate()
    server.wait()
    os.unlink("bench.sock")
    wait_for_no_job()
    return took


times = {by_virsh: [], by_nbdkit: []}
for _ in range(int(rounds)):
    for way in times:
        times[way].append(way() * 1000)
virsh_ms, nbdkit_ms = (statistics.median(values) for values in times.values())
print("virsh backup-begin                 %6.1f ms" % virsh_ms)
print("nbdkit, from start to first byte   %6.1f ms" % nbdkit_ms)
print("nbdkit more than virsh             %6.1f ms (to reach: at most 150)"
      % (nbdkit_ms - virsh_ms))
