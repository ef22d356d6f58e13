# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A temporary folder, the servers started in it, and images that several loads
# share.  All are gone when the "with" ends.
import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

import nbd

NEEDED = 12 << 30
LIMIT = 1800                    # seconds, for whatever is run
KILLED_WITH_US = ["setpriv", "--pdeathsig", "KILL", "--"]


class Lab:
    def __init__(self, build, folder):
        self.build, self.folder = build, folder
        self.source = os.path.dirname(os.path.dirname(
            os.path.realpath(__file__)))
        self.images, self.processes = {}, []
        self.counter, self.files = 0, []
        self.on_disk = None

    def __enter__(self):
        if self.folder is None:
            free = shutil.disk_usage("/dev/shm").free \
                if os.path.isdir("/dev/shm") else 0
            self.folder = "/dev/shm" if free >= NEEDED else None
        self.tmp = tempfile.mkdtemp(prefix="bench.", dir=self.folder)
        try:
            # So that building anew meanwhile changes nothing.
            self.plugin = self.own("plugin/.libs/nbdkit-checkpoint-plugin.so")
            self.synthetic = self.own("bench/.libs/nbdkit-bench-plugin.so")
            self.client = self.own("bench/.libs/bench-client",
                                   "bench/bench-client")
            self.random_client = self.own("bench/.libs/random-client",
                                          "bench/random-client")
            self.relay = self.own("tests/delay-relay")
            self.filter = self.own("filters/bitmap-merge/.libs/"
                                   "nbdkit-bitmap-merge-filter.so")
            self.tool = self.own("tool/qemu-checkpoint")
            self.map_client = self.own("bench/.libs/map-client",
                                       "bench/map-client")
        except BaseException:
            shutil.rmtree(self.tmp)
            raise
        return self

    def own(self, *candidates):
        for name in candidates:
            path = os.path.join(self.build, name)
            if os.path.exists(path):
                return shutil.copy(path, self.tmp)
        return None

    def __exit__(self, *_):
        self.end(0)
        shutil.rmtree(self.tmp)
        if self.on_disk:
            shutil.rmtree(self.on_disk)

    def disk_folder(self):
        if not self.on_disk:
            kind = self.run("stat", "-f", "-c", "%T", self.build).strip()
            if kind in ("tmpfs", "ramfs"):
                raise OSError("%s is not on a disk" % self.build)
            self.on_disk = tempfile.mkdtemp(prefix="bench.", dir=self.build)
        return self.on_disk

    # Programs.

    def path(self, name):
        return os.path.join(self.tmp, name)

    def new(self, suffix):
        """For one load."""
        self.counter += 1
        path = self.path("%d%s" % (self.counter, suffix))
        self.files.append(path)
        return path

    def run(self, *command, **options):
        """Runs it; returns what it prints."""
        return subprocess.run(
            KILLED_WITH_US + list(command), check=True, timeout=LIMIT,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, cwd=self.tmp, **options).stdout.decode()

    def start(self, *command):
        """Starts it; it is ended with the load."""
        with open(self.path("log"), "ab") as file:
            process = subprocess.Popen(
                KILLED_WITH_US + list(command), cwd=self.tmp,
                stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        self.processes.append(process)
        return process

    def stop(self, process):
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.processes.remove(process)

    def end(self, kept):
        for process in reversed(self.processes[kept:]):
            self.stop(process)

    @contextlib.contextmanager
    def servers(self):
        """Servers started in it end with it."""
        kept = len(self.processes)
        try:
            yield
        finally:
            self.end(kept)

    # Servers.  Each returns its URI, or a Server.

    def serve(self, *command):
        """A server on the socket that the command names as SOCKET."""
        path = self.new(".sock")
        process = self.start(*[word.replace("SOCKET", path)
                               for word in command])
        self.await_socket(path, process)
        return Server(process, path)

    def await_socket(self, path, process):
        """The socket is connected to, as a file is there too early."""
        for _ in range(60000):
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(path)
                    return
                except OSError:
                    pass
            if process.poll() is not None:
                break
            time.sleep(0.001)
        with open(self.path("log"), errors="replace") as file:
            raise OSError("%s did not start: %s"
                          % (process.args[4], file.read()[-300:]))

    def qemu_nbd(self, image, bitmap=None, format="qcow2", options=()):
        return self.serve("qemu-nbd", "-t", "-r", "-e", "64", "-f", format,
                          "-k", "SOCKET", *(["-B", bitmap] if bitmap else []),
                          *options, image)

    def nbdkit(self, *args):
        return self.serve("nbdkit", "-f", "-U", "SOCKET", *args)

    def ours(self, *args, options=()):
        return self.nbdkit(*options, self.plugin, *args)

    def storage_daemon(self, *args):
        return StorageDaemon(self, *args)

    # Images, each built when it is asked for first.

    def image(self, name, build, on_disk=False):
        """The file, made by build (lab, file).  on_disk: beside what was built,
        as the temporary folder is in memory."""
        path = os.path.join(self.disk_folder(), name) if on_disk \
            else self.path(name)
        if name not in self.images:
            self.images[name] = path
            build(self, path)
        return path

    def drop_files(self, needed):
        """What the load has made, and the images that no other needs."""
        unneeded = [self.images.pop(name)
                    for name in set(self.images) - set(needed)]
        for path in self.files + unneeded:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        self.files = []

    def write(self, image, function, format="qcow2"):
        """function (libnbd handle) writes to the image, through QEMU."""
        path = self.new(".sock")
        process = self.start("qemu-nbd", "-f", format, "-k", path,
                             "--cache=unsafe", image)
        self.await_writer(path, process, function)
        process.wait(LIMIT)
        self.processes.remove(process)

    def await_writer(self, path, process, function):
        """qemu-nbd ends when its only client has gone: no probing."""
        for _ in range(6000):
            client = nbd.NBD()
            try:
                client.connect_unix(path)
            except nbd.Error:
                if process.poll() is not None:
                    raise OSError("qemu-nbd did not start") from None
                time.sleep(0.01)
                continue
            function(client)
            client.flush()
            client.shutdown()
            return


class Server:
    def __init__(self, process, path):
        self.process, self.path = process, path

    def uri(self, export=""):
        return "nbd+unix:///%s?socket=%s" % (export, self.path)

    def rss(self):
        """Of what is really in memory, in MiB."""
        return self.status("VmRSS")

    def forget_peak(self):
        with open("/proc/%d/clear_refs" % self.process.pid, "w") as file:
            file.write("5")

    def peak_rss(self):
        """The most that rss was since forget_peak."""
        return self.status("VmHWM")

    def status(self, name):
        with open("/proc/%d/status" % self.process.pid) as file:
            for line in file:
                if line.startswith(name + ":"):
                    return int(line.split()[1]) / 1024
        raise OSError("no " + name)


class StorageDaemon(Server):
    """A qemu-storage-daemon with a monitor."""

    def __init__(self, lab, *args):
        path, monitor = lab.new(".sock"), lab.new(".qmp")
        process = lab.start(
            "qemu-storage-daemon", "--chardev",
            "socket,id=m,path=%s,server=on,wait=off" % monitor,
            "--monitor", "chardev=m",
            "--nbd-server", "addr.type=unix,addr.path=%s" % path, *args)
        super().__init__(process, path)
        lab.await_socket(path, process)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(LIMIT)
        self.socket.connect(monitor)
        self.file = self.socket.makefile("rw")
        self.file.readline()
        self.qmp("qmp_capabilities")

    def qmp(self, command, **arguments):
        arguments = {key.replace("_", "-"): value
                     for key, value in arguments.items()}
        json.dump({"execute": command, "arguments": arguments}, self.file)
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if "error" in answer:
                raise OSError("%s: %s" % (command, answer["error"]["desc"]))
            if "return" in answer:
                return answer["return"]
