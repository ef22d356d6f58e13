# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# tool-property.py TOOL URI DOCUMENTS RESTART SEED SEQUENCES: random sequences of
# operations on checkpoints, done three times: by virsh, on a guest that runs (A);
# by qemu-checkpoint --libvirt, on one that runs or is off (B); and by
# qemu-checkpoint --file --tree, on images without a guest (C).  After each, all
# have the same checkpoints (names, parents, descriptions, disks), and the same
# bitmaps in the same layers, with as many dirty bytes; or all have refused it, for
# the same reason.
#
# DOCUMENTS: libvirt's folder of checkpoints; RESTART: the command that restarts
# libvirtd.
#
# What is meant to differ, and is not compared:
#
#   libvirt refuses to make and delete   A runs always, so it can be compared with B
#   checkpoints of a guest that is off   while B is off
#   virsh checkpoint-delete that fails   here, the document is put back by hand; B
#   has moved the children by then       and C never move them
#   --children where one has no bitmap   is not done: libvirtd crashes after it
#   (any more)                           (9.0, 11.3), B has deleted those below, C none
#   a checkpoint without any bitmap,     is no parent of the next one for C, which
#   where an older one has one           takes that for a reverted snapshot; so none
#                                        is made then
#   which is "current" once the tree     libvirtd remembers, and tells nobody; so it
#   has branched                         is restarted before a new one is made

import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor

TOOL, URI, DOCUMENTS, RESTART, SEED, SEQUENCES = sys.argv[1:7]
TARGETS = ["vda", "vdb"]
NAMES = ["a", "b", "c", "d", "e", "f"]
SIZE = 8 << 20
STEPS = 9
THREADS = ThreadPoolExecutor(3)

KINDS = [
    ("disk", r"vdz"),
    ("left over", r"Bitmap already exists|a bitmap named \S+ is in .* already"),
    ("unknown", r"[Nn]o (domain |document of )?checkpoint"),
    ("exists", r"already exists|there is a checkpoint|already"),
    ("parent", r"parent \S+ for moment|no parent|has no checkpoint|parent"),
    ("cycle", r"cycle|own parent|ancestor|loop"),
    ("bitmap", r"not found in backing chain|no layer|bitmap"),
]


def run(words, check=True, **more):
    done = subprocess.run(words, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60, **more)
    if check and done.returncode != 0:
        raise AssertionError("%s: %s" % (shlex.join(words), done.stdout))
    return done.returncode, done.stdout.strip()


def kind(said):
    for name, pattern in KINDS:
        if re.search(pattern, said):
            return name
    return said


class Place:
    """Where the same is done: files[target]: its images, top first."""

    def __init__(self, name):
        self.name = name
        self.files = {}
        for target in TARGETS:
            self.files[target] = ["%s/%s-%s.qcow2"
                                  % (os.getcwd(), name, target)]
            run(["qemu-img", "create", "-q", "-f", "qcow2",
                 self.files[target][0], str(SIZE)])

    def close(self):
        for files in self.files.values():
            for file in files:
                os.unlink(file)

    def forest(self):
        """name → (parent, description, covered disks)."""
        found = {}
        folder = self.documents()
        for entry in os.listdir(folder) if os.path.isdir(folder) else []:
            root = ET.parse("%s/%s" % (folder, entry)).getroot()
            name = root.findtext("name")
            assert entry == name + ".xml", entry
            assert name not in found
            found[name] = (
                root.findtext("parent/name"), root.findtext("description"),
                sorted(disk.get("name") for disk in root.iterfind("disks/disk")
                       if disk.get("checkpoint") != "no"))
        return found

    def layers(self):
        """target → of each layer, top first, the names of its bitmaps."""
        found = {}
        for target, files in self.files.items():
            told = json.loads(run(["qemu-img", "info", "--backing-chain",
                                   "--output=json", files[0]])[1])
            assert [layer["filename"] for layer in told] == files, told
            found[target] = [self.bitmaps(layer) for layer in told]
        return found

    @staticmethod
    def bitmaps(layer):
        bitmaps = layer.get("format-specific", {}).get("data", {}).get(
            "bitmaps", [])
        return sorted((bitmap["name"], bitmap["granularity"],
                       "auto" in bitmap["flags"]) for bitmap in bitmaps)

    def overlay(self, target):
        file = "%s/%s-%s-%d.qcow2" % (os.getcwd(), self.name, target,
                                      len(self.files[target]))
        self.files[target].insert(0, file)
        return file

    # ── What qemu-checkpoint does ──

    def tool(self, command, *words):
        return run([TOOL, command, *self.of(), *words], check=False)

    def create(self, name, disks, description):
        return self.tool("create", *["--disk=" + target for target in disks],
                         *([] if description is None
                           else ["--description=" + description]), "--", name)

    def delete(self, name, flags):
        return self.tool("delete", *flags, "--", name)

    def redefine(self, path):
        return self.tool("redefine", path)

    def edit(self, name, description):
        return self.tool("edit", "--description=" + description, "--", name)

    def sizes(self):
        told = json.loads(self.tool("list", "--size", "--json")[1])
        return {checkpoint["name"]: {size["target"]: size.get("bytes",
                                                              size.get("size"))
                                     for size in checkpoint["sizes"]}
                for checkpoint in told["checkpoints"]}


class Files(Place):
    """C: a folder of documents and images, and no guest."""

    def __init__(self, name):
        super().__init__(name)
        self.runs = False

    def documents(self):
        return os.getcwd() + "/tree"

    def of(self):
        return ["--file=%s:%s" % (target, files[0])
                for target, files in self.files.items()] + [
                    "--tree=" + self.documents()]

    def close(self):
        super().close()
        shutil.rmtree(self.documents(), ignore_errors=True)

    def write(self, target, offset, length):
        run(["qemu-io", "-f", "qcow2", "-c", "write -q -P 2 %d %d"
             % (offset, length), self.files[target][0]])

    def snapshot(self, target):
        """As libvirt makes one of a guest that runs."""
        below = self.files[target][0]
        bitmaps = self.layers()[target][0]
        above = self.overlay(target)
        run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", below, "-F",
             "qcow2", above])
        for name, granularity, recording in bitmaps:
            assert recording
            run(["qemu-img", "bitmap", "--add", "-g", str(granularity), above,
                 name])

    def restart(self):
        pass


class Guest(Place):
    """A guest of libvirt's."""

    def __init__(self, name):
        super().__init__(name)
        self.runs = False
        with open(name + ".xml", "w") as file:
            file.write(
                "<domain type='qemu'><name>%s</name><memory unit='MiB'>32"
                "</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>"
                "<devices><controller type='usb' model='none'/>"
                "<memballoon model='none'/>%s</devices></domain>"
                % (name, "".join(
                    "<disk type='file' device='disk'><driver name='qemu' "
                    "type='qcow2'/><source file='%s'/><target dev='%s' "
                    "bus='virtio'/></disk>" % (files[0], target)
                    for target, files in self.files.items())))
        self.virsh("define", name + ".xml")
        self.start()

    def virsh(self, *words, check=True, **more):
        return run(["virsh", "-q", "-c", URI, *words], check=check, **more)

    def of(self):
        return ["--libvirt=" + URI, "--domain=" + self.name]

    def documents(self):
        return "%s/%s" % (DOCUMENTS, self.name)

    def start(self):
        if not self.runs:
            self.virsh("start", self.name, "--paused")
        self.runs = True

    def stop(self):
        if self.runs:
            self.virsh("destroy", self.name)
        self.runs = False

    def restart(self):
        self.stop()
        self.start()

    def close(self):
        self.stop()
        self.virsh("undefine", self.name, "--checkpoints-metadata")
        super().close()

    def qmp(self, command, **arguments):
        told = self.virsh("qemu-monitor-command", self.name, json.dumps(
            {"execute": command, "arguments": arguments}))[1]
        return json.loads(told)["return"]

    def layers(self):
        if not self.runs:
            return super().layers()
        nodes = {node["file"]: node
                 for node in self.qmp("query-named-block-nodes", flat=True)
                 if node["drv"] == "qcow2"}
        return {target: [sorted((bitmap["name"], bitmap["granularity"],
                                 bitmap["recording"])
                                for bitmap in nodes[file].get("dirty-bitmaps",
                                                              []))
                         for file in files]
                for target, files in self.files.items()}

    def write(self, target, offset, length):
        self.virsh("qemu-monitor-command", self.name, "--hmp",
                   "qemu-io -d /machine/peripheral/virtio-disk%d/virtio-backend "
                   "\"write -P 2 %d %d\"" % (TARGETS.index(target), offset,
                                             length))

    def snapshot(self, target):
        above = self.overlay(target)
        self.virsh("snapshot-create-as", self.name, "--disk-only",
                   "--no-metadata", "--diskspec", "%s,file=%s"
                   % (target, above),
                   *[word for other in TARGETS if other != target
                     for word in ("--diskspec", other + ",snapshot=no")])

    def sizes(self):
        if not self.runs:
            return super().sizes()
        found = {}
        for name in self.forest():
            root = ET.fromstring(self.size_of(name))
            found[name] = {disk.get("name"): int(disk.get("size"))
                           if disk.get("size") else None
                           for disk in root.iterfind("disks/disk")
                           if disk.get("checkpoint") != "no"}
        return found

    def size_of(self, name):
        return self.tool("show", "--size", "--no-domain", "--", name)[1]


class Virsh(Guest):
    """A: what virsh does."""

    def create(self, name, disks, description):
        words = []
        for target in disks or TARGETS:
            words += ["--diskspec", target]
        return self.virsh("checkpoint-create-as", self.name, name,
                          *([description] if description is not None else []),
                          *(words if disks else []), check=False)

    def delete(self, name, flags):
        before = {other: self.virsh("checkpoint-dumpxml", self.name, other)[1]
                  for other, told in self.forest().items() if told[0] == name}
        status, said = self.virsh("checkpoint-delete", self.name, name, *flags,
                                  check=False)
        for document in before.values() if status else []:
            self.put(document)
        return status, said

    def put(self, document):
        with open("put-back.xml", "w") as file:
            file.write(document)
        self.virsh("checkpoint-create", self.name, "put-back.xml",
                   "--redefine")

    def redefine(self, path):
        return self.virsh("checkpoint-create", self.name, path, "--redefine",
                          check=False)

    def edit(self, name, description):
        with open("editor", "w") as file:
            file.write("#!/bin/sh\nsed -i '/^  <description>/d' \"$1\"\n"
                       "sed -i '0,/<.name>/s,</name>,&<description>%s"
                       "</description>,' \"$1\"\n" % description)
        os.chmod("editor", 0o755)
        return self.virsh("checkpoint-edit", self.name, name, check=False,
                          env=dict(os.environ, EDITOR=os.getcwd() + "/editor"))

    def size_of(self, name):
        return self.virsh("checkpoint-dumpxml", self.name, name, "--size",
                          "--no-domain")[1]


class Sequence:
    def __init__(self, chance):
        self.chance = chance
        self.places = list(THREADS.map(lambda make: make(),
                                       [lambda: Virsh("A"), lambda: Guest("B"),
                                        lambda: Files("C")]))
        self.log = []
        self.branched = False       # at some time since libvirtd started

    def close(self):
        self.all(lambda place: place.close())

    def all(self, act):
        """Everywhere at once."""
        return list(THREADS.map(act, self.places))

    def same(self, what, values):
        if any(value != values[0] for value in values[1:]):
            raise AssertionError("another %s:\n%s" % (what, "\n".join(
                "%s: %s" % (place.name, value)
                for place, value in zip(self.places, values))))
        return values[0]

    def do(self, what, act):
        self.log.append(what)
        told = self.all(act)
        self.log[-1] += "".join("\n    %s: %s" % (place.name, said)
                                for place, (status, said)
                                in zip(self.places, told) if status)
        self.same("answer", [kind(said) if status else ""
                             for status, said in told])

    def compare(self):
        forest = self.same("forest", self.all(lambda place: place.forest()))
        parents = [told[0] for told in forest.values()]
        self.branched |= len(parents) != len(set(parents))
        self.same("bitmaps", self.all(lambda place: place.layers()))

    # ── The operations ──

    def looks_reverted(self):
        """Would --file and --tree take another parent than libvirt?"""
        forest, layers = self.places[2].forest(), self.places[2].layers()
        there = [name for name, told in forest.items() if any(
            name in [bitmap[0] for bitmap in layer]
            for target in told[2] for layer in layers[target])]
        parents = {told[0] for told in forest.values()}
        leaves = [name for name in forest if name not in parents]
        if not there or (len(leaves) == 1 and leaves[0] in there):
            return False
        ancestors = {}
        for name in there:
            at, ancestors[name] = name, set()
            while at in forest:
                ancestors[name].add(at)
                at = forest[at][0]
        return any(set(there) <= ancestors[name] for name in there)

    def create(self):
        if self.looks_reverted():
            return
        name = self.chance.choice(NAMES)
        disks = self.chance.choice([[], [], [], ["vda"], ["vda"], ["vdb"],
                                    ["vdb"], TARGETS, ["vda", "vdz"]])
        if name in self.places[0].forest():     # one reason at a time
            disks = []
        description = self.chance.choice([None, "a & b <c>", "plain"])
        if self.branched:
            self.restart_libvirtd()
        self.do("create %s %s %s" % (name, disks, description),
                lambda place: place.create(name, disks, description))

    def delete(self):
        name = self.chance.choice(NAMES)
        flags = self.chance.choice([[], [], [], ["--metadata"], ["--children"],
                                    ["--children-only"],
                                    ["--children", "--metadata"],
                                    ["--children-only", "--metadata"]])
        if "--metadata" in flags or not flags or not self.is_fatal(name, flags):
            self.do("delete %s %s" % (name, flags),
                    lambda place: place.delete(name, flags))

    def is_fatal(self, name, flags):
        """Would one of several be refused?"""
        forest, layers = self.places[0].forest(), self.places[0].layers()
        doomed = [name] if "--children" in flags else []
        below = [name]
        for parent in below:
            below += [other for other, told in forest.items()
                      if told[0] == parent]
        doomed += below[1:]
        return any(one in forest and not all(
            any(one in [bitmap[0] for bitmap in layer]
                for layer in layers[target]) for target in forest[one][2])
                   for one in doomed)

    def redefine(self):
        forest = self.places[0].forest()
        name = self.chance.choice(NAMES)
        parent = self.chance.choice([None, *NAMES, *forest])
        disks = self.chance.choice([["vda"], ["vdb"], TARGETS])
        root = ET.Element("domaincheckpoint")
        ET.SubElement(root, "name").text = name
        if self.chance.random() < 0.5:
            ET.SubElement(root, "description").text = "redefined"
        if parent:
            ET.SubElement(ET.SubElement(root, "parent"), "name").text = parent
        ET.SubElement(root, "creationTime").text = "5"
        within = ET.SubElement(root, "disks")
        for target in disks:
            ET.SubElement(within, "disk", name=target, checkpoint="bitmap",
                          bitmap=name)
        ET.ElementTree(root).write("redefine.xml")
        self.do("redefine %s, parent %s, %s" % (name, parent, disks),
                lambda place: place.redefine("redefine.xml"))

    def edit(self):
        name = self.chance.choice(NAMES)
        text = "edited %d" % self.chance.randrange(9)
        self.do("edit %s: %s" % (name, text),
                lambda place: place.edit(name, text))

    def write(self):
        self.wake()
        target = self.chance.choice(TARGETS)
        offset = self.chance.randrange(SIZE // 65536) * 65536
        length = min(SIZE - offset, self.chance.choice([512, 65536, 1 << 20]))
        self.log.append("write %s %d %d" % (target, offset, length))
        self.all(lambda place: place.write(target, offset, length))

    def snapshot(self):
        self.wake()
        target = self.chance.choice(TARGETS)
        self.log.append("snapshot of " + target)
        self.all(lambda place: place.snapshot(target))

    def restart_guests(self):
        self.wake()
        self.log.append("restart of the guests")
        self.all(lambda place: place.restart())

    def restart_libvirtd(self):
        self.log.append("restart of libvirtd")
        run(shlex.split(RESTART))
        self.branched = False

    def off(self):
        self.log.append("B off")
        self.places[1].stop()

    def wake(self):
        if not self.places[1].runs:
            self.log.append("B on")
            self.places[1].start()

    def go(self):
        operations = ([self.create] * 8 + [self.delete] * 5
                      + [self.redefine] * 3 + [self.edit] * 2
                      + [self.write] * 2 + [self.snapshot] * 2
                      + [self.restart_guests, self.restart_libvirtd,
                         self.off, self.wake])
        for _ in range(3):
            self.create()
        self.compare()
        for _ in range(STEPS):
            self.chance.choice(operations)()
            self.compare()
        self.same("sizes", self.all(lambda place: place.sizes()))


def main():
    for number in range(int(SEQUENCES)):
        seed = int(SEED) + number
        sequence = Sequence(random.Random(seed))
        try:
            sequence.go()
        except (AssertionError, KeyError, ValueError, OSError) as error:
            print("SEED=%d ROUNDS=1:\n  %s" % (seed, "\n  ".join(sequence.log)))
            print(error)
            return 1
        finally:
            sequence.close()
    return 0


sys.exit(main())
