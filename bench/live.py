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
guests = {name: connection.lookupByName(name)
          for name in ("convert", "nbdcopy", "theirs")}


def run(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=600, **options)
    if done.returncode:
        sys.exit("%s: %s" % (command[0],
                             done.stdout.decode(errors="replace")[-2000:]))


def qemu_io(command):
    """In all guests."""
    for guest in guests.values():
        libvirt_qemu.qemuMonitorCommand(
            guest, 'qemu-io -d %s "%s"' % (DEVICE, command),
            libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)


def write(number):
    for block in random.Random(number).sample(range(SIZE // BLOCK), DIRTY):
        qemu_io("write -q -P %d %d %d" % (
            1 + (number * 7 + block) % 255, block * BLOCK, BLOCK))
    qemu_io("flush")            # else what is in the file is not all there is


# As the manual has them.  The first backup is a full one.
CONVERT = """qemu-img convert -f raw -O qcow2 %(below)s "$uri" %(out)s"""
NBDCOPY = """qemu-img create -q -f qcow2 %(backing)s %(out)s 4G
nbdcopy --destination-is-zero -S 0 --request-size=65536 -- \\
  "$uri" [ qemu-nbd -f qcow2 %(out)s ]"""


def our_backup(guest, command, *settings):
    def backup(number):
        name = "%s.c%%d.qcow2" % guest
        base = ["checkpoint=c%d" % (number - 1)] if number else []
        below = name % (number - 1)
        run("nbdkit", "-U", "-", plugin, "libvirt=" + uri, "domain=" + guest,
            "disk=vda", *settings, *base, "create=c%d" % number, "--run",
            "set -e; " + command % {
                "out": name % number,
                "below": "-B %s -F qcow2" % below if number else "",
                "backing": "-b %s -F qcow2" % below if number else ""})
    return backup


def their_backup(number):
    run("virtnbdbackup", "-U", uri, "-d", "theirs", "-o", "theirs",
        "-l", "inc" if number else "full", "--scratchdir", os.getcwd())


def warm_memory():
    """A virtual machine gives memory that was long unused back to its host, and
    then waits for each page of it: more than a backup takes."""
    with open("warm", "wb") as file:
        for _ in range(512):
            file.write(bytes(1 << 20))
    os.unlink("warm")


def compare(first, second, second_format):
    run("qemu-img", "compare", "-U", "-f", "qcow2", "-F", second_format, first,
        second)


ways = {"convert": our_backup("convert", CONVERT),
        "nbdcopy": our_backup("nbdcopy", NBDCOPY, "view=sparse"),
        "virtnbdbackup": their_backup}
for way in ways.values():
    way(0)
for number in range(1, rounds + 1):
    write(number)
    for name in random.Random(number).sample(sorted(ways), len(ways)):
        warm_memory()
        start = time.monotonic()
        ways[name](number)
        took = time.monotonic() - start
        print(name, "took", took, flush=True)
    for name in ("convert", "nbdcopy"):
        compare(name + ".disk.qcow2", "%s.c%d.qcow2" % (name, number), "qcow2")

# Theirs are wrong or right together.
os.mkdir("restored")
run("virtnbdrestore", "-i", "theirs", "-o", "restored", "-a", "restore")
for name in glob.glob("restored/*disk*"):
    compare("theirs.disk.qcow2", name, "qcow2")
    break
else:
    sys.exit("virtnbdrestore has restored nothing: %s" % os.listdir("restored"))
