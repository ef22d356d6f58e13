# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A running guest of a libvirt that is far away: bench/libvirt-far.sh measures,
# in namespaces of its own.
import os

from loads_far import ROUND_TRIPS
from measure import Way, load

START = "start over backup-begin, round trips"
CLIENTS = "nbdcopy", "qemu-img"


def libvirt_far(milliseconds):
    def build(lab):
        ways = {START: Way(None, most=0)}
        for client in CLIENTS:
            for name in client, client + ", with start":
                for whose in "ours", "direct":
                    ways["%s: %s" % (name, whose)] = Way(
                        None, most=0, ours=name + ": ours")
        out = lab.run(
            os.path.join(lab.source, "bench/libvirt-far.sh"), str(lab.runs),
            lab.plugin, str(milliseconds),
            env=dict(os.environ, srcdir=lab.source, builddir=lab.build,
                     TMPDIR=lab.folder or "/tmp"))
        for line in out.splitlines():
            name, _, value = line.partition(" took ")
            if name in ways:
                ways[name].samples.append(float(value))
        return ways
    return build


for way in ROUND_TRIPS[1:]:
    load("libvirt-far-%d" % way, "a guest of a libvirt that is %d ms away (both "
         "ways together), 4 disks, 64 MiB dirty, over TCP: from the start to "
         "the first byte beside virsh backup-begin, and view=sparse copied "
         "beside the job's own export" % way,
         targets=[(name + ": ours", name + ": direct", 1.3)
                  for client in CLIENTS
                  for name in (client, client + ", with start")]
         + [(START, None, 10)])(libvirt_far(way))
