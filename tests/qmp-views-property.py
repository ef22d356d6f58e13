# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
#   qmp-views-property.py PLUGIN FILTER TOOL SEED ROUNDS
#
# A bare QEMU's guest writes, zeroes and discards anywhere, takes snapshots, which take
# the bitmaps along or do not, grows its disks and is restarted, while checkpoints are
# made by the tool and with backups, also such as libvirt before 6.5 left them.  A backup of qmp= since any of them shows the disks as
# they were when it began, whatever is written meanwhile; no block that differs from the
# checkpoint's time is clean in it, none is zero that holds data; nothing is dirty that
# was not touched; and only the old libvirts' records are refused.

import os
import random
import shutil
import subprocess
import sys
import time

import nbd
from guest_calls import Monitor, QmpGuest

plugin, merge, tool = sys.argv[1:4]
seed, rounds = int(sys.argv[4]), int(sys.argv[5])
BLOCK, BLOCKS, SECTOR = 65536, 24, 512
SIZE = BLOCK * BLOCKS
DISKS = ["vda", "vdb"]
HOLE, ZERO = nbd.STATE_HOLE, nbd.STATE_ZERO


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def blocks_of(start, length):
    return range(start // BLOCK, (start + length - 1) // BLOCK + 1)


class Disk:
    def __init__(self, name):
        self.name, self.top, self.layers = name, name + ".0.qcow2", 0
        self.content = bytearray(SIZE)
        run("qemu-img", "create", "-q", "-f", "qcow2", self.top, str(SIZE))


class Checkpoint:
    """Of each disk: what it held, what was touched since, and whether it is in
    it."""

    def __init__(self, disks):
        self.then = {disk.name: bytes(disk.content) for disk in disks}
        self.touched = {disk.name: set() for disk in disks}
        self.covers = {disk.name: True for disk in disks}


class Round:
    def __init__(self, number):
        self.random = random.Random("%d/%d" % (seed, number))
        self.legacy = self.random.random() < 0.4
        self.disks = [Disk(name) for name in DISKS]
        self.checkpoints, self.count, self.done = {}, 0, []
        self.qemu = None
        self.start()

    def start(self):
        for name in "q.see.sock", "q.people", "q.sock":
            if os.path.exists(name):
                os.remove(name)
        options = []
        for disk in self.disks:
            options += ["-drive", "file=%s,format=qcow2,if=none,id=%s,discard=unmap"
                        % (disk.top, disk.name), "-device",
                        "virtio-blk-pci,drive=%s,id=d%s" % (disk.name, disk.name)]
        self.qemu = subprocess.Popen(
            ["qemu-system-x86_64", "-accel", "tcg", "-nodefaults", "-display",
             "none", "-m", "64", "-S", "-qmp", "unix:q.sock,server=on,wait=off",
             "-qmp", "unix:q.see.sock,server=on,wait=off",
             "-monitor", "unix:q.people,server=on,wait=off"] + options,
            stdout=open("qemu.log", "a"), stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.guest = QmpGuest("q")
                self.people = Monitor("q.people", "dvda")
                return
            except OSError:
                assert time.monotonic() < deadline, open("qemu.log").read()
                time.sleep(0.02)

    def end(self):
        self.guest.socket.close()
        self.guest.stream.close()
        self.people.socket.close()
        self.qemu.terminate()
        assert self.qemu.wait(30) == 0

    def ask(self, command, **arguments):
        self.done.append((command, arguments))
        return self.guest.ask(command, **arguments)

    # What the guest does

    def write(self, in_job=False):
        disk = self.random.choice(self.disks)
        size = len(disk.content)
        start = self.random.randrange(size // SECTOR) * SECTOR
        length = min(size - start, self.random.choice(
            (SECTOR, 4096, BLOCK, 3 * BLOCK)))
        kind = self.random.choice(("write", "write", "zero", "unmap", "discard"))
        value = self.random.randrange(1, 256)
        if kind == "discard":
            # QEMU ignores one of less than a cluster, and all while a job runs.
            if in_job:
                return
            start -= start % BLOCK
            length = BLOCK
        command = {"write": "write -q -P %d" % value, "zero": "write -q -z",
                   "unmap": "write -q -z -u", "discard": "discard -q"}[kind]
        self.done.append((disk.name, command, start, length))
        self.people.device = "d" + disk.name
        self.people.guest_io("%s %d %d" % (command, start, length))
        disk.content[start:start + length] = \
            bytes([value if kind == "write" else 0]) * length
        for checkpoint in self.checkpoints.values():
            if disk.name in checkpoint.touched:
                checkpoint.touched[disk.name].update(blocks_of(start, length))

    def snapshot(self):
        disk = self.random.choice(self.disks)
        disk.layers += 1
        disk.top = "%s.%d.qcow2" % (disk.name, disk.layers)
        bitmaps = [bitmap for block in self.ask("query-block")
                   if block["device"] == disk.name
                   for bitmap in block["inserted"].get("dirty-bitmaps", [])]
        self.ask("blockdev-snapshot-sync", device=disk.name,
                 snapshot_file=disk.top)
        if self.random.random() < 0.5:
            for bitmap in bitmaps:
                if bitmap["recording"]:
                    self.ask("block-dirty-bitmap-add", node=disk.name,
                             name=bitmap["name"], persistent=True)

    def grow(self):
        disk = self.random.choice(self.disks)
        before = len(disk.content)
        disk.content += bytes(self.random.randrange(1, 4) * BLOCK)
        self.ask("block_resize", device=disk.name, size=len(disk.content))
        # What lies beyond a shorter layer, no bitmap tells.
        for checkpoint in self.checkpoints.values():
            checkpoint.touched[disk.name].update(
                blocks_of(before, len(disk.content) - before))

    def restart(self):
        self.done.append("restart")
        self.end()
        self.start()

    # Checkpoints

    def new_name(self):
        self.count += 1
        return "c%d" % self.count

    def is_recorded(self, disk, name):
        return any(name == bitmap.get("name")
                   for node in self.guest.ask("query-named-block-nodes")
                   if os.path.basename(node["file"]) == disk.top
                   for bitmap in node.get("dirty-bitmaps", []))

    def made(self, name, since=None):
        """With documents, the newest's parent may stop, as in old libvirts."""
        newest = "c%d" % (self.count - 1)
        self.checkpoints[name] = Checkpoint(self.disks)
        for disk in self.disks:
            if not self.is_recorded(disk, name):
                # It is not in that backup.
                assert since and (self.legacy or not self.checkpoints[
                    since].covers[disk.name]), disk.name + " lacks " + name
                self.checkpoints[name].covers[disk.name] = False
        if self.legacy and newest in self.checkpoints:
            for disk in self.disks:
                # One that no client of a backup came for is in no top.
                for block in self.guest.ask("query-block"):
                    if block["device"] == disk.name and newest in [
                            one.get("name") for one in
                            block["inserted"].get("dirty-bitmaps", [])]:
                        self.ask("block-dirty-bitmap-disable",
                                 node=disk.name, name=newest)

    def create(self):
        name = self.new_name()
        self.done.append(("create", name))
        run(tool, "create", name, "--qmp=q.sock", "--tree=tree")
        self.made(name)

    # The backup

    def back_up(self):
        since = self.random.choice([None] + list(self.checkpoints))
        make = self.random.random() < 0.4
        name = self.new_name() if make else None
        arguments = ["qmp=q.sock", "socket-dir=" + os.getcwd()]
        if make or self.checkpoints:
            arguments += ["tree=tree"]
        arguments += ["checkpoint=" + since] if since else ["on-missing=full"]
        arguments += ["create=" + name] if make else []
        self.done.append(("backup", arguments))
        for file in "n.sock", "n.pid":
            if os.path.exists(file):
                os.remove(file)
        log = open("n.log", "w")
        server = subprocess.Popen(
            ["nbdkit", "-f", "--exit-with-parent", "-U", "n.sock", "-P", "n.pid",
             "--filter=" + merge, plugin] + arguments, stderr=log)
        deadline = time.monotonic() + 60
        while not (os.path.exists("n.pid") and os.path.getsize("n.pid")):
            if server.poll() is not None:
                self.heed_refusal(since, open("n.log").read())
                if make:
                    self.count -= 1
                return
            assert time.monotonic() < deadline
            time.sleep(0.01)
        then = {disk.name: bytes(disk.content) for disk in self.disks}
        if make:
            self.made(name, since)
        try:
            for disk in self.disks:
                for _ in range(self.random.randrange(6)):
                    self.write(True)
                self.check(disk, since, then[disk.name])
        finally:
            server.terminate()
            assert server.wait(60) == 0
        assert "error: " not in "".join(
            line for line in open("n.log") if "NOT in this" not in line
            and "served whole" not in line), open("n.log").read()

    def heed_refusal(self, since, text):
        """Only what an old chain may lack is refused."""
        assert since and self.legacy, text
        self.refused += 1

    refused = 0

    def check(self, disk, since, then):
        h, view = nbd.NBD(), nbd.NBD()
        view.add_meta_context("base:allocation")
        view.set_export_name(disk.name)
        try:
            view.connect_unix("n.sock")
        except nbd.Error:
            self.heed_refusal(since, open("n.log").read())
            return
        h.set_export_name(disk.name + "@")
        h.connect_unix("n.sock")
        assert h.pread(len(then), 0) == then, disk.name + "@"
        told = []

        def extents(context, offset, entries, error):
            for length, flags in zip(entries[::2], entries[1::2]):
                told.append((length, flags))

        at = 0
        while at < len(then):
            told.clear()
            view.block_status(len(then) - at, at, extents)
            for length, flags in told:
                self.check_extent(disk, since, then, view, at, length, flags)
                at += length

    def check_extent(self, disk, since, then, view, at, length, flags):
        where = "%s since %s, %d+%d" % (disk.name, since, at, length)
        now = then[at:at + length]
        if flags == HOLE:
            assert since, where + " is clean"
            before = self.checkpoints[since].then[disk.name].ljust(
                len(then), b"\0")[at:at + length]
            assert now == before, where + " is clean, and differs"
            return
        if flags & ZERO:
            assert not any(now), where + " is zero, and holds data"
        else:
            assert view.pread(length, at) == now, where + " is read otherwise"
        if since:
            touched = self.checkpoints[since].touched[disk.name]
            assert all(block in touched for block in blocks_of(at, length)) \
                or self.legacy, where + " is dirty, and was not touched"

    def go(self):
        os.mkdir("tree")
        for _ in range(3):
            self.write()
        for _ in range(self.random.randrange(12, 20)):
            self.random.choices(
                [self.write, self.create, self.back_up, self.snapshot, self.grow,
                 self.restart], [6, 2, 4, 2, 1, 1])[0]()
            self.write()
        self.back_up()
        self.end()
        for disk in self.disks:
            run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", disk.top,
                "now.raw")
            with open("now.raw", "rb") as file:
                assert file.read() == disk.content, disk.name
            run("qemu-img", "check", "-q", disk.top)


refused = 0
for number in range(rounds):
    os.mkdir("round")
    os.chdir("round")
    one = Round(number)
    try:
        one.go()
    except BaseException:
        print("round %d%s:\n  %s" % (number, " (legacy)" if one.legacy else "",
                                     "\n  ".join(map(str, one.done))))
        raise
    finally:
        one.qemu.kill()
        one.qemu.wait()
    refused += one.refused
    os.chdir("..")
    shutil.rmtree("round")
print("%d rounds, %d views refused" % (rounds, refused))
