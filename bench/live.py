# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Usage: live.py ROUNDS PLUGIN URI, from live.sh.
import glob
import os
import random
import subprocess
import sys
import time

import libvirt
import libvirt_qemu

rounds, plugin, uri = int(sys.argv[1]), sys.argv[2], sys.argv[3]
DIRTY, BLOCK, SIZE = 3000, 65536, 4 << 30
DEVICE = "/machine/peripheral/virtio-disk0/virtio-backend"
os.environ["TMPDIR"] = os.getcwd()    # virtnbdbackup leaves logs there
connection = libvirt.open(uri)
guests = {name: connection.lookupByName(name) for name in ("ours", "theirs")}


def run(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=600, **options)
    if done.returncode:
        sys.exit("%s: %s" % (command[0],
                             done.stdout.decode(errors="replace")[-2000:]))


def qemu_io(command):
    """In both guests."""
    for guest in guests.values():
        libvirt_qemu.qemuMonitorCommand(
            guest, 'qemu-io -d %s "%s"' % (DEVICE, command),
            libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)


def write(number):
    for block in random.Random(number).sample(range(SIZE // BLOCK), DIRTY):
        qemu_io("write -q -P %d %d %d" % (
            1 + (number * 7 + block) % 255, block * BLOCK, BLOCK))
    qemu_io("flush")            # else what is in the file is not all there is


def our_backup(number):
    base = ["checkpoint=c%d" % (number - 1)] if number else []
    below = "-B c%d.qcow2 -F qcow2" % (number - 1) if number else ""
    run("nbdkit", "-U", "-", plugin, "libvirt=" + uri, "domain=ours",
        "disk=vda", *base, "create=c%d" % number, "--run",
        'qemu-img convert -f raw -O qcow2 %s "$uri" c%d.qcow2'
        % (below, number))


def their_backup(number):
    run("virtnbdbackup", "-U", uri, "-d", "theirs", "-o", "theirs",
        "-l", "inc" if number else "full", "--scratchdir", os.getcwd())


def compare(first, second, second_format):
    run("qemu-img", "compare", "-U", "-f", "qcow2", "-F", second_format, first,
        second)


ways = {"ours": our_backup, "virtnbdbackup": their_backup}
for way in ways.values():
    way(0)
for number in range(1, rounds + 1):
    write(number)
    for name in sorted(ways, reverse=number % 2 == 0):
        start = time.monotonic()
        ways[name](number)
        took = time.monotonic() - start
        print(name, "took", took, flush=True)
    compare("ours.disk.qcow2", "c%d.qcow2" % number, "qcow2")

# Theirs are wrong or right together.
os.mkdir("restored")
run("virtnbdrestore", "-i", "theirs", "-o", "restored", "-a", "restore")
for name in glob.glob("restored/*disk*"):
    compare("theirs.disk.qcow2", name, "qcow2")
    break
else:
    sys.exit("virtnbdrestore has restored nothing: %s" % os.listdir("restored"))
