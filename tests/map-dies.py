# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# What ends qemu-checkpoint map's lists early: a server that dies at random points,
# a reader that leaves or waits, a signal, a full disk.
#
#   map-dies.py BUILD BENCH TOOL SEED ROUNDS

import fcntl
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time

sys.path.insert(0, sys.argv[2])
sys.dont_write_bytecode = True

import images  # noqa: E402
import lab  # noqa: E402

WAIT = 60
# How each begins its last line, and calls it dirty.
LISTS = {
    "--extents": (b"\n", rb"\d+ \d+\n"),
    "--json": (b",\n", rb'\{ "offset": \d+, "length": \d+, "type": 0, '
                       rb'"description": "data"\}\n\]\n'),
    "--imageio": (b",\n", rb'\{"start": \d+, "length": \d+, "dirty": true, '
                          rb'"zero": false\}\]\n'),
    "--kubevirt": (b",\n", rb'\{"offset":\d+,"length":\d+,"type":1,'
                           rb'"description":"dirty"\}\],"next_offset":null\}\n'),
}
ENDING = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]
BEGINS = (b"[\n", b"[", b'{"extents":[')


class Mortal:
    """Stands between a server and its clients until so many bytes have come from
    it, on all connections; then all are closed.  None: it does not die."""

    def __init__(self, path, server, life):
        self.server, self.life, self.came = server, life, 0
        self.lock, self.ends, self.dead = threading.Lock(), [], False
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(path)
        self.listening.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listening.accept()[0]
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.server)
            with self.lock:
                self.ends += [client, server]
                if self.dead:
                    return self.close()
            for ends in (client, server, False), (server, client, True):
                threading.Thread(target=self.carry, args=ends,
                                 daemon=True).start()

    def carry(self, source, target, counted):
        try:
            while data := source.recv(65536):
                with self.lock:
                    room = len(data)
                    if counted and self.life is not None:
                        room = min(room, self.life - self.came)
                    self.came += room if counted else 0
                target.sendall(data[:room])
                if room < len(data):
                    break
        except OSError:
            pass
        with self.lock:
            if counted and self.life is not None and self.came >= self.life:
                self.dead = True
                self.close()
                return
        for end in source, target:
            self.shut(end)

    @staticmethod
    def shut(end):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self):
        for end in [self.listening] + self.ends:
            self.shut(end)


def check(option, size, whole, printed, message):
    """A list that is not whole has the same lines up to a byte, and all is dirty
    from there on.  message: None: it dies by a signal, and says nothing."""
    if printed == whole:
        return size
    between, rest = LISTS[option]
    assert printed.endswith(b"\n"), printed[-100:]
    at = printed.rfind(between, 0, -len(b"]\n")) + len(between)
    if at < len(between):       # there is one line only
        begin = next((b for b in BEGINS if printed.startswith(b)), b"")
        at = len(begin)
    line = printed[at:]
    assert re.fullmatch(rest, line), line[-200:]
    offset, length = map(int, re.findall(rb"\d+", line)[:2])
    assert offset + length == size, line
    assert whole.startswith(printed[:at])
    assert int(re.search(rb"\d+", whole[at:at + 60]).group()) == offset
    if option != "--extents":
        json.loads(printed)
    if message is not None:
        assert b"no change is missing in the list, but it calls all dirty from " \
            b"byte %d on, " % offset in message.splitlines()[-1], message
    return offset


class Maps:
    def __init__(self, here, tool):
        self.here, self.tool, self.rng = here, tool, None

    def command(self, subject, option):
        return [self.tool, "map", images.BITMAP, subject, option]

    def run(self, subject, option, **options):
        return subprocess.run(self.command(subject, option), timeout=WAIT,
                              stderr=subprocess.PIPE, **options)

    def whole(self, subject, option):
        done = self.run(subject, option, stdout=subprocess.PIPE)
        assert done.returncode == 0 and done.stderr == b"", done.stderr
        return done.stdout

    def start(self, subject, option):
        return subprocess.Popen(self.command(subject, option), bufsize=0,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def server_dies(self, server, size, option):
        whole = self.whole("--uri=" + server.uri(), option)
        path = self.here.new(".sock")
        relay = Mortal(path, server.path, None)
        uri = "--uri=nbd+unix:///?socket=" + path
        assert self.whole(uri, option) == whole
        relay.close()
        told = relay.came
        for life in [0, self.rng.randrange(2000), told - self.rng.randrange(20)] \
                + [self.rng.randrange(told) for _ in range(4)]:
            os.unlink(path)
            relay = Mortal(path, server.path, life)
            done = self.run(uri, option, stdout=subprocess.PIPE)
            relay.close()
            if done.stdout == b"" and life < 2000:      # it was not connected yet
                assert done.returncode == 2, done.returncode
                continue
            known = check(option, size, whole, done.stdout, done.stderr)
            print("%s of %d bytes died after %d: up to %d" % (
                option, told, life, known))
            assert done.returncode == (0 if known == size else 2)

    def dies_while_printing(self, subject, size, option, kill, reads):
        """kill (process) when so many bytes are read; 0: any."""
        whole = self.whole(subject, option)
        read = reads or self.rng.randrange(len(whole))
        process = self.start(subject, option)
        printed = read_bytes(process.stdout, read)
        kill(process)
        rest, message = process.communicate(timeout=WAIT)
        known = check(option, size, whole, printed + rest, message)
        print("%s: died when %d of %d bytes were read: up to %d" % (
            subject, read, len(whole), known))
        assert process.returncode == (0 if known == size else 2)

    def guest_dies(self, image, size, option):
        """A running one, whose backup job has to be proved alive."""
        path = self.here.new(".qmp")
        guest = self.here.start(
            "qemu-system-x86_64", "-accel", "tcg", "-S", "-nodefaults",
            "-display", "none", "-m", "64",
            "-qmp", "unix:%s,server=on,wait=off" % path, "-blockdev",
            "qcow2,node-name=vda,file.driver=file,file.filename=" + image,
            "-device", "virtio-blk-pci,drive=vda")
        self.here.await_socket(path, guest)
        self.dies_while_printing("--qmp=" + path, size, option,
                                 lambda _: guest.kill(), 1)

    def reader_leaves(self, server, option):
        process = self.start("--uri=" + server.uri(), option)
        read_bytes(process.stdout, self.rng.randrange(1, 1 << 20))
        process.stdout.close()
        message = process.stderr.read()
        process.stderr.close()
        assert process.wait(WAIT) == 2 and message == b"", message

    def told_to_end(self, server, size, option):
        """While it waits for its reader, who took nothing of what is written."""
        whole = self.whole("--uri=" + server.uri(), option)
        reader, writer = os.pipe()
        room = fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)
        os.write(writer, bytes(room))
        process = subprocess.Popen(self.command("--uri=" + server.uri(), option),
                                   stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)
        # Each is heard once.
        for number in ENDING:
            await_sleep(process)
            process.send_signal(number)
        with open(reader, "rb") as pipe:
            printed = pipe.read()[room:]
        assert process.wait(WAIT) in [-number for number in ENDING]
        assert process.stderr.read() == b""
        process.stderr.close()
        print("%s: told to end: up to %d" % (option, check(
            option, size, whole, printed, None)))

    def disk_is_full(self, server, option):
        with open("/dev/full", "w") as full:
            done = self.run("--uri=" + server.uri(), option, stdout=full)
        assert done.returncode == 2 and done.stderr.count(b"\n") == 1 \
            and b"cannot write: " in done.stderr, done.stderr

    def reader_waits(self, daemon, option):
        """QEMU waits for answers that are not received before it makes a
        snapshot, so they are, whoever does not read the list."""
        whole = self.whole("--uri=" + daemon.uri(), option)
        process = self.start("--uri=" + daemon.uri(), option)
        room = fcntl.fcntl(process.stdout, fcntl.F_GETPIPE_SZ)
        daemon.socket.settimeout(WAIT)
        printed, node = b"", "disk"
        for number in range(4):
            deadline = time.monotonic() + WAIT
            while waiting(process.stdout) < room - 4096:
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.01)
            daemon.qmp("blockdev-snapshot-sync", **{
                "node-name": node, "snapshot-file": self.here.new(".qcow2"),
                "snapshot-node-name": "above%d" % number})
            node = "above%d" % number
            printed += read_bytes(process.stdout, len(whole) // 5)
        rest, message = process.communicate(timeout=WAIT)
        assert process.returncode == 0 and printed + rest == whole, message


def read_bytes(pipe, count):
    got = b""
    while len(got) < count:
        more = pipe.read(count - len(got))
        assert more, "it ended early"
        got += more
    return got


def await_sleep(process):
    """Until it seems to wait for something, or has ended."""
    deadline, asleep = time.monotonic() + WAIT, 0
    while asleep < 20 and process.poll() is None:
        assert time.monotonic() < deadline
        with open("/proc/%d/stat" % process.pid) as file:
            asleep = asleep + 1 if file.read().split(") ")[1][0] == "S" else 0
        time.sleep(0.01)


def kill_children(process):
    """The one that reads an image's layers for it."""
    path = "/proc/%d/task/%d/children" % (process.pid, process.pid)
    with open(path) as file:
        for child in file.read().split():
            os.kill(int(child), signal.SIGKILL)


def waiting(pipe):
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]


def chain(here, size):
    """Two images, whose bitmaps tell of it together."""
    base, top = here.new(".qcow2"), here.new(".qcow2")
    images.sparse_with_runs(here, base, size, size // images.BLOCK // 2)
    images.create(here, top, 0, "-F", "qcow2", "-b", base)
    images.add_bitmap(here, top)
    here.write(top, lambda client: client.zero(images.BLOCK, size // 3
                                               // images.BLOCK * images.BLOCK))
    return top


def main():
    build, _, tool, seed, rounds = sys.argv[1:]
    size, long = 16 * images.GiB, 48 * images.GiB
    with lab.Lab(build, os.getcwd()) as here, here.servers():
        served = images.null_with_runs(here, size, size // images.BLOCK // 2)
        image = chain(here, long)
        maps = Maps(here, tool)
        for number in range(int(seed), int(seed) + int(rounds)):
            print("SEED=%d ROUNDS=1" % number, flush=True)
            rng = maps.rng = random.Random(number)
            maps.server_dies(served, size, rng.choice(list(LISTS)))
            for read in 1, 0:
                maps.dies_while_printing("--file=" + image, long, "--extents",
                                         kill_children, read)
            maps.reader_leaves(served, rng.choice(list(LISTS)))
            maps.told_to_end(served, size, rng.choice(list(LISTS)))
            maps.disk_is_full(served, rng.choice(list(LISTS)))
        maps.reader_waits(served, "--json")
        maps.guest_dies(image, long, "--imageio")   # its bitmaps are lost, too


main()
