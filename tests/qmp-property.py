# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
#   qmp-property.py TOOL PLUGIN FILTER SEED ROUNDS
#
# A running QEMU's guest writes, takes snapshots and restarts, at random, while
# checkpoints of it are made and deleted, new ones and such as libvirt before 6.5
# left them.  Then the checkpoints are those of a model, and in the view since each,
# all blocks are dirty that differ from what the disk was then.

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time

tool, plugin, merge = sys.argv[1:4]
seed, rounds = int(sys.argv[4]), int(sys.argv[5])
BLOCK, BLOCKS = 65536, 24
DISKS = ["vda", "vdb"]


def run(*command, status=(0,)):
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    if done.returncode not in status:
        raise SystemExit("%s: %d: %s" % (command, done.returncode, done.stderr))
    return done.stdout


class Qemu:
    """Connects anew for each command: the tool needs the monitor, too."""

    def __init__(self, tops):
        if os.path.exists("q.sock"):
            os.remove("q.sock")
        options = []
        for disk in DISKS:
            options += ["-drive", "file=%s,format=qcow2,if=none,id=%s"
                        % (tops[disk], disk),
                        "-device", "virtio-blk-pci,drive=%s,id=d%s" % (disk, disk)]
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-accel", "tcg", "-nodefaults", "-display",
             "none", "-m", "64", "-S", "-qmp", "unix:q.sock,server=on,wait=off"]
            + options, stdout=open("qemu.log", "a"),
            stderr=subprocess.STDOUT)
        # It is there before anybody listens.
        for tries in range(1000):
            try:
                self.ask("query-status")
                break
            except OSError:
                time.sleep(0.02)

    def ask(self, command, **arguments):
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(30)
            monitor.connect("q.sock")
            stream = monitor.makefile("rw")
            stream.readline()
            for request in ({"execute": "qmp_capabilities"},
                            {"execute": command, "arguments": {
                                name.replace("_", "-"): value
                                for name, value in arguments.items()}}):
                stream.write(json.dumps(request) + "\n")
                stream.flush()
                while True:
                    answer = json.loads(stream.readline())
                    if "error" in answer:
                        raise SystemExit(str(answer))
                    if "return" in answer:
                        break
            return answer["return"]

    def write(self, disk, block, value):
        said = self.ask("human-monitor-command", command_line=(
            'qemu-io -d /machine/peripheral/d%s/virtio-backend "write -P %d %d %d"'
            % (disk, value, block * BLOCK, BLOCK)))
        if said:
            raise SystemExit(said)

    def bitmaps(self, disk):
        for block in self.ask("query-block"):
            if block["device"] == disk:
                return [bitmap for bitmap in
                        block["inserted"].get("dirty-bitmaps", [])]

    def end(self):
        self.process.terminate()
        self.process.wait(30)


class Round:
    def __init__(self, number):
        self.random = random.Random("%d/%d" % (seed, number))
        self.legacy = self.random.random() < 0.6
        self.count = 0
        self.checkpoints = []       # (name, {disk: blocks then}), a line
        self.now = {disk: [0] * BLOCKS for disk in DISKS}
        self.tops = {disk: disk + ".0.qcow2" for disk in DISKS}
        for disk in DISKS:
            run("qemu-img", "create", "-q", "-f", "qcow2", self.tops[disk],
                str(BLOCK * BLOCKS))
        os.mkdir("tree")
        self.qemu = Qemu(self.tops)
        self.done = []

    def tool(self, *words):
        self.done.append(words)
        return run(tool, *words, "--qmp=q.sock", "--tree=tree")

    def write(self):
        for _ in range(self.random.randrange(1, 3)):
            disk = self.random.choice(DISKS)
            block = self.random.randrange(BLOCKS)
            value = self.random.randrange(1, 256)
            self.done.append(("write", disk, block, value))
            self.qemu.write(disk, block, value)
            self.now[disk][block] = value

    def create(self):
        self.count += 1
        name = "c%d" % self.count
        disks = DISKS if self.legacy or self.random.random() < 0.7 else [
            self.random.choice(DISKS)]
        self.tool("create", name,
                  *([] if disks == DISKS else ["--disk=" + disks[0]]))
        for disk in disks if self.legacy else []:
            names = [bitmap["name"] for bitmap in self.qemu.bitmaps(disk)]
            if (self.checkpoints and self.checkpoints[-1][0] in names
                    and self.random.random() < 0.9):
                self.done.append(("disable", disk, self.checkpoints[-1][0]))
                self.qemu.ask("block-dirty-bitmap-disable", node=disk,
                              name=self.checkpoints[-1][0])
        self.checkpoints.append(
            (name, {disk: list(self.now[disk]) for disk in disks}))

    def delete(self):
        if not self.checkpoints:
            return
        at = self.random.randrange(len(self.checkpoints))
        flag = self.random.choice([None] * 6 + ["--children", "--children-only"])
        words = ["delete", self.checkpoints[at][0], *([flag] if flag else [])]
        self.done.append(words)
        refusal = subprocess.run(
            [tool, *words, "--qmp=q.sock", "--tree=tree"], capture_output=True,
            text=True, timeout=100).stderr
        # Of some legacy chains, an older view would lose blocks.
        if self.legacy and "would lose blocks" in refusal:
            return
        assert not refusal, refusal
        if not flag:
            del self.checkpoints[at]
        else:
            del self.checkpoints[at + (flag == "--children-only"):]

    def snapshot(self):
        """Of a disk; bitmaps go on above it, as with libvirt, or do not."""
        disk = self.random.choice(DISKS)
        self.count += 1
        top = "%s.%d.qcow2" % (disk, self.count)
        carried = self.qemu.bitmaps(disk) if self.random.random() < 0.7 else []
        self.done.append(("snapshot", top, len(carried)))
        self.qemu.ask("blockdev-snapshot-sync", device=disk, snapshot_file=top)
        for bitmap in carried:
            if bitmap["recording"]:
                self.qemu.ask("block-dirty-bitmap-add", node=disk,
                              name=bitmap["name"], persistent=True)
        self.tops[disk] = top

    def restart(self):
        self.done.append(("restart",))
        self.qemu.end()
        self.qemu = Qemu(self.tops)

    def check_names(self):
        listed = json.loads(self.tool("list", "--json"))["checkpoints"]
        names = [name for name, _ in self.checkpoints]
        parents = {one["name"]: one["parent"] for one in listed}
        assert parents == dict(zip(names, [None] + names)), parents

    def check_view(self, name, disk, then):
        printed = run("nbdkit", "-U", "-", "--filter=" + merge, plugin,
                      *("file=%s:%s" % item for item in self.tops.items()),
                      "tree=tree", "checkpoint=" + name, "disk=" + disk,
                      "--run", 'nbdinfo --map --json "$uri"')
        clean = set()
        for extent in json.loads(printed):
            if extent["type"] == 1:
                first = -(-extent["offset"] // BLOCK)
                end = (extent["offset"] + extent["length"]) // BLOCK
                clean.update(range(first, end))
        lost = [block for block in sorted(clean)
                if then[block] != self.now[disk][block]]
        assert not lost, "%s since %s: %s are clean" % (disk, name, lost)

    def check_end(self):
        self.qemu.end()
        for disk in DISKS:
            run("qemu-img", "convert", "-f", "qcow2", "-O", "raw",
                self.tops[disk], "now.raw")
            with open("now.raw", "rb") as file:
                for value in self.now[disk]:
                    assert file.read(BLOCK) == bytes([value]) * BLOCK
            run("qemu-img", "check", "-q", self.tops[disk])
        for name, disks in self.checkpoints:
            for disk, then in disks.items():
                self.check_view(name, disk, then)

    def go(self):
        for _ in range(self.random.randrange(10, 24)):
            self.random.choices(
                [self.write, self.create, self.delete, self.snapshot,
                 self.restart], [5, 4, 3, 1, 1])[0]()
            # What lies between two checkpoints makes them differ.
            self.write()
        self.check_names()
        self.check_end()


for number in range(rounds):
    os.mkdir("round")
    os.chdir("round")
    one = Round(number)
    try:
        one.go()
    except BaseException:
        print("round %d: %s" % (number, "\n  ".join(map(repr, one.done))))
        raise
    finally:
        one.qemu.process.kill()
        one.qemu.process.wait()
    os.chdir("..")
    shutil.rmtree("round")
