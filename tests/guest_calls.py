# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# For tests: a guest of libvirt's, or of a bare QEMU, called on connections that
# stay open.  virsh would take longer than what happens meanwhile.

import ctypes
import glob
import json
import os
import re
import socket
import struct
import threading
import xml.etree.ElementTree


class Guest:
    """libvirt's own libraries, which are there wherever libvirt is."""

    def __init__(self, name):
        self.library = library = ctypes.CDLL("libvirt.so.0")
        self.qemu_library = ctypes.CDLL("libvirt-qemu.so.0")
        for function in library.virConnectOpen, library.virDomainLookupByName:
            function.restype = ctypes.c_void_p
        for function in (library.virDomainBackupGetXMLDesc,
                         library.virGetLastErrorMessage):
            function.restype = ctypes.c_char_p
        # Python must keep what C calls.
        self.silence = ctypes.CFUNCTYPE(None, ctypes.c_void_p,
                                        ctypes.c_void_p)(lambda *args: None)
        library.virSetErrorFunc(None, self.silence)
        self.connection = ctypes.c_void_p(
            self.check(library.virConnectOpen(os.environ["connect"].encode())))
        self.domain = ctypes.c_void_p(self.check(
            library.virDomainLookupByName(self.connection, name.encode())))

    def check(self, result):
        if result is None or result == -1:
            raise OSError(self.library.virGetLastErrorMessage().decode())
        return result

    def begin_job(self, socket):
        """A backup of all disks, served there."""
        self.check(self.library.virDomainBackupBegin(
            self.domain, b"<domainbackup mode='pull'><server transport='unix'"
            b" socket='%s'/></domainbackup>" % socket.encode(), None, 0))

    def abort_job(self):
        self.check(self.library.virDomainAbortJob(self.domain))

    def abort_block_job(self, target):
        """Returns before QEMU has ended it."""
        self.check(self.library.virDomainBlockJobAbort(
            self.domain, target.encode(), 1))

    def has_backup(self):
        """virDomainGetJobInfo could crash libvirt before 10.8.0."""
        return self.library.virDomainBackupGetXMLDesc(self.domain, 0) \
            is not None

    def monitor_command(self, command):
        """In QEMU's monitor for people, under libvirt's lock of this guest."""
        said = ctypes.c_char_p()
        self.check(self.qemu_library.virDomainQemuMonitorCommand(
            self.domain, command.encode(), ctypes.byref(said), 1))

    def job_export(self, target):
        """QEMU's own export of the running backup: (socket, name)."""
        text = self.check(
            self.library.virDomainBackupGetXMLDesc(self.domain, 0))
        backup = xml.etree.ElementTree.fromstring(text)
        disk = [d for d in backup.iterfind("disks/disk")
                if d.get("name") == target][0]
        return (backup.find("server").get("socket"),
                disk.get("exportname", target))


class QmpGuest:
    """A guest of qmp-lab.sh's; what Guest has, by its second monitor."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(name + ".see.sock")
        self.stream = self.socket.makefile("rw")
        self.lock = threading.Lock()
        self.stream.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        with self.lock:
            self.stream.write(json.dumps({"execute": command, "arguments": {
                key.replace("_", "-"): arguments[key] for key in arguments}})
                + "\n")
            self.stream.flush()
            while True:
                answer = json.loads(self.stream.readline())
                if "error" in answer:
                    raise OSError(answer["error"]["desc"])
                if "return" in answer:
                    return answer["return"]

    def backups(self):
        return [job["id"] for job in self.ask("query-jobs")
                if job["type"] == "backup"]

    def abort_job(self):
        for job in self.backups():
            self.ask("job-cancel", id=job)

    def abort_block_job(self, target):
        for job in self.backups():
            self.ask("block-job-cancel", device=job, force=True)

    def has_backup(self):
        return bool(self.backups() or self.ask("query-block-exports"))

    def job_export(self, target):
        return (glob.glob("run/nbdkit-checkpoint-*/nbd")[0], target)


class Monitor:
    """A monitor of QEMU's; see guest_monitor in libvirt-lab.sh.  Any thread."""

    PROMPT = b"(qemu) "

    def __init__(self, path, device="virtio-disk%d"):
        self.device = device
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.lock = threading.Lock()
        self.pid = struct.unpack("3i", self.socket.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        self.receive()

    def receive(self):
        said = b""
        while not said.endswith(self.PROMPT):
            part = self.socket.recv(65536)
            if not part:
                raise OSError("QEMU has closed its monitor")
            said += part
        return said[:-len(self.PROMPT)]

    def cancel_backups(self):
        """Behind libvirt's back."""
        for job in re.findall(r"^Type backup, device ([^:]+):",
                              self.ask("info block-jobs"), re.MULTILINE):
            self.ask("block_job_cancel -f " + job)

    def ask(self, command):
        with self.lock:
            self.socket.sendall(command.encode() + b"\n")
            # The first line is ours, as a terminal would show it.
            return self.receive().split(b"\r\n", 1)[1].decode()

    def guest_io(self, command, disk=0):
        """As if the guest itself had done what this qemu-io command does."""
        said = self.ask('qemu-io -d /machine/peripheral/%s/virtio-backend "%s"'
                        % (self.device % disk if "%" in self.device
                           else self.device, command))
        if said:
            raise OSError("%s: %s" % (command, said))
