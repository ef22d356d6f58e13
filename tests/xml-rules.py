# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# xml-rules.py TOOL URI DOCUMENTS TREE COMMAND: documents with odd and hostile names
# and contents, which virsh gets (of the guest web1, with the disk web1-vda.qcow2),
# qemu-checkpoint at libvirt (of web2), and qemu-checkpoint of images and documents
# (TREE) that are copies of web1's (copy-vda.qcow2): all take each of them, or all
# refuse it.  There are the checkpoints a, and its child b, everywhere.
# DOCUMENTS: libvirt's folder; COMMAND: create or redefine.

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

TOOL, URI, DOCUMENTS, TREE, COMMAND = sys.argv[1:6]

# way → guest, what the tool is told, the folder of documents, the first disk
WAYS = {
    "virsh": ("web1", [], DOCUMENTS + "/web1", "web1-vda.qcow2"),
    "at libvirt": ("web2", ["--libvirt=" + URI, "--domain=web2"],
                   DOCUMENTS + "/web2", "web2-vda.qcow2"),
    "of files": ("web1", ["--file=vda:copy-vda.qcow2",
                          "--file=vdb:copy-vdb.qcow2", "--tree=" + TREE],
                 TREE, "copy-vda.qcow2"),
}
THREADS = ThreadPoolExecutor(len(WAYS))


def name(text):
    return "<name>%s</name>" % text


def disk(target, more=""):
    return "<disk name='%s' %s/>" % (target, more)


TIME = "<creationTime>7</creationTime>"
X = name("x")
NAMES = ["plain", "1", "-dash", "_", "a.b", "a-b_c.", "n" * 200, "n" * 1000, "",
         ".hidden", "..", "with blank", "slash/x", "/abs", "../x", "a:b", "a,b",
         "a@b", "ä", "a'b", "a&amp;b", "a&#10;b", " lead", "trail ",
         "$(touch x)", "`x`", "a;b", "%s%n", "NUL&#0;"]
DISKS = {
    "one disk": disk("vda"),
    "both disks": disk("vda") + disk("vdb"),
    "bitmap said": disk("vda", "checkpoint='bitmap' bitmap='x'"),
    "another bitmap": disk("vda", "checkpoint='bitmap' bitmap='y'"),
    "no and yes": disk("vda", "checkpoint='no'") + disk("vdb"),
    "none at all": disk("vda", "checkpoint='no'")
                   + disk("vdb", "checkpoint='no'"),
    "no with bitmap": disk("vda", "checkpoint='no' bitmap='x'"),
    "unknown disk": disk("vdz"),
    "unknown disk, no": disk("vdz", "checkpoint='no'"),
    "disk twice": disk("vda") + disk("vda"),
    "disk twice, once no": disk("vda") + disk("vda", "checkpoint='no'"),
    "a path": disk("@vda@"),
    "a path and its target": disk("@vda@") + disk("vda"),
    "an unknown path": disk("/nowhere/x.qcow2"),
    "a relative path": disk("vda.qcow2"),
    "no name": "<disk checkpoint='bitmap'/>",
    "an empty name": disk(""),
    "unknown checkpoint=": disk("vda", "checkpoint='internal'"),
    "a size": disk("vda", "checkpoint='bitmap' bitmap='x' size='5'"),
    "a size that is none": disk("vda", "checkpoint='bitmap' size='-5'"),
    "an unknown attribute": disk("vda", "colour='blue'"),
    "something else": "<drive name='vda'/>",
    "nothing": "",
    "three disks": disk("vda") + disk("vdb") + disk("vdc"),
}
# (what, XML within <domaincheckpoint>), for both.
COMMON = (
    [("name %r" % text[:12], name(text) + TIME) for text in NAMES]
    + [(what, X + TIME + "<disks>%s</disks>" % text)
       for what, text in DISKS.items()]
    + [
        ("two names", X + name("y") + TIME),
        ("no name", TIME),
        ("time is text", X + "<creationTime>soon</creationTime>"),
        ("time is negative", X + "<creationTime>-1</creationTime>"),
        ("time is huge", X + "<creationTime>%d</creationTime>" % 10 ** 30),
        ("time is large", X + "<creationTime>%d</creationTime>" % (2 ** 63)),
        ("time has blanks", X + "<creationTime> 7 </creationTime>"),
        ("time is zero", X + "<creationTime>0</creationTime>"),
        ("two times", X + TIME + TIME),
        ("no time", X),
        ("a description", X + TIME + "<description>a &amp; b</description>"),
        ("two descriptions", X + TIME + "<description/><description/>"),
        ("an unknown element", X + TIME + "<colour>blue</colour>"),
        ("text", X + TIME + "text"),
        ("a comment", X + TIME + "<!-- text -->"),
        ("two <disks>", X + TIME + ("<disks>%s</disks>" % disk("vda")) * 2),
        ("a parent", X + TIME + "<parent><name>b</name></parent>"),
        ("a parent in between", X + TIME + "<parent><name>a</name></parent>"),
        ("itself as parent", X + TIME + "<parent><name>x</name></parent>"),
        ("an unknown parent", X + TIME + "<parent><name>q</name></parent>"),
        ("an odd parent", X + TIME + "<parent><name>q q</name></parent>"),
        ("a parent without a name", X + TIME + "<parent/>"),
        ("two parents", X + TIME + "<parent><name>a</name></parent>" * 2),
        ("an existing name", name("b") + TIME),
    ])
DOMAIN = ("<domain type='qemu'><name>@guest@</name><uuid>%s</uuid><memory>65536</memory>"
          "<os><type arch='x86_64' machine='pc'>hvm</type></os><devices>%s"
          "</devices></domain>")
VDA = ("<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
       "<source file='@vda@'/><target dev='vda' bus='virtio'/></disk>")
REDEFINE = [
    ("a cycle", name("a") + TIME + "<parent><name>b</name></parent>"),
    ("another parent", name("b") + TIME),
    ("the guest", X + TIME + DOMAIN % ("@uuid@", VDA)),
    ("the guest, and a disk of its", X + TIME + DOMAIN % ("@uuid@", VDA)
     + "<disks>%s</disks>" % disk("vda")),
    ("the guest, and a disk that it lacks", X + TIME
     + DOMAIN % ("@uuid@", VDA) + "<disks>%s</disks>" % disk("vdb")),
    ("the guest, without disks", X + TIME + DOMAIN % ("@uuid@", "")),
    ("another guest", X + TIME + DOMAIN % (
        "11111111-2222-3333-4444-555555555555", VDA)),
    ("a guest without UUID", X + TIME + "<domain type='qemu'><name>@guest@</name>"
     "</domain>"),
]
WHOLE = [
    ("nothing", ""),
    ("text", "hello"),
    ("not closed", "<domaincheckpoint><name>x</name>"),
    ("another document", "<domainsnapshot><name>x</name></domainsnapshot>"),
    ("a namespace", "<d:domaincheckpoint xmlns:d='urn:x'><d:name>x</d:name>"
     "</d:domaincheckpoint>"),
    ("Latin-1", "<?xml version='1.0' encoding='ISO-8859-1'?><domaincheckpoint>"
     "<name>x</name><creationTime>7</creationTime></domaincheckpoint>"),
    ("an attribute of the root", "<domaincheckpoint colour='blue'>%s"
     "</domaincheckpoint>" % (X + TIME)),
    ("DOCTYPE", "<!DOCTYPE domaincheckpoint><domaincheckpoint>%s"
     "</domaincheckpoint>" % (X + TIME)),
    ("an entity", "<!DOCTYPE domaincheckpoint [<!ENTITY n 'x'>]>"
     "<domaincheckpoint><name>&n;</name>%s</domaincheckpoint>" % TIME),
]

# Where ours differ, which is meant: (command, what) → why.
def twice(what):
    return ("redefine", what), "which of the two counts, libvirt does not say"


def doctype(command):
    return ((command, "whole: DOCTYPE"),
            "no document of libvirt's has one, all attacks by entities have")


MEANT = dict([
    twice("disk twice"), twice("disk twice, once no"),
    doctype("create"), doctype("redefine"),
])


def run(words, text=None):
    done = subprocess.run(words, input=text, text=True, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          encoding="utf-8", errors="replace")
    return done.returncode, done.stdout.strip()


def virsh(*words):
    return run(["virsh", "-q", "-c", URI, *words])


UUIDS = {guest: virsh("domuuid", guest)[1] for guest in ("web1", "web2")}


def names_in(folder):
    """Of the documents there, which are files of their names."""
    return {entry[:-len(".xml")] for entry in os.listdir(folder)}


def compare(command, what, text):
    took = list(THREADS.map(lambda way: try_one(way, command, what, text),
                            WAYS))
    return dict(zip(WAYS, took))


def try_one(way, command, what, text):
    """Is it taken, one way?"""
    guest, of, folder, disk_file = WAYS[way]
    redefine = command == "redefine"
    path = "document-%s.xml" % way.replace(" ", "-")
    before = names_in(folder)
    with open(path, "w") as file:
        file.write(text.replace("@vda@", os.path.abspath(disk_file)).replace(
            "@guest@", guest).replace("@uuid@", UUIDS[guest]))
    if way == "virsh":
        words = ["virsh", "-q", "-c", URI, "checkpoint-create", guest, path,
                 *["--redefine"] * redefine]
    else:
        words = [TOOL, command, *of, path if redefine else "--xml=" + path]
    status, said = run(words)
    new = names_in(folder) - before
    print("%s, %s, %s: %s" % (command, what, way,
                              "taken" if status == 0 else said))
    assert status in (0, 1, 2), (status, said)
    assert status == 0 or not new, "refused, but there: %s" % new
    if status == 0 and way != "virsh":
        assert "\n" not in said, said
    put_back(way, new, redefine)
    if status == 0 and redefine and not new:
        restore(way, guest)
    return status == 0


def restore(way, guest):
    """The documents of a and b as they were."""
    for old in ("a", "b"):
        if way == "of files":
            shutil.copy("copy-%s.xml" % old, "%s/%s.xml" % (TREE, old))
        else:
            status, said = virsh("checkpoint-create", guest, "%s-%s.xml"
                                 % (guest, old), "--redefine")
            assert status == 0, said


def put_back(way, new, redefine):
    guest, of = WAYS[way][:2]
    for created in new:
        if way == "virsh":
            status, said = virsh("checkpoint-delete", guest, created,
                                 *["--metadata"] * redefine)
        else:
            status, said = run([TOOL, "delete", *of,
                                *["--metadata"] * redefine, "--", created])
        assert status == 0, said


def main():
    bad = []
    cases = [(command, what, "<domaincheckpoint>%s</domaincheckpoint>" % text)
             for command in ("create", "redefine") for what, text in COMMON]
    cases += [("redefine", what,
               "<domaincheckpoint>%s</domaincheckpoint>" % text)
              for what, text in REDEFINE]
    cases += [(command, "whole: " + what, text)
              for command in ("create", "redefine") for what, text in WHOLE]
    for command, what, text in cases:
        if command != COMMAND:
            continue
        took = compare(command, what, text)
        differs = len(set(took.values())) > 1
        if differs != ((command, what) in MEANT):
            bad.append((command, what, took))
    for case in bad:
        print("DIFFERENT: %s, %s: %s" % case)
    return 1 if bad else 0


sys.exit(main())
