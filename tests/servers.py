# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# For property tests: programs that must succeed, random writes, and servers on
# Unix sockets.

import os
import subprocess
import sys
import time

import nbd

KIB = 1024


def run(*args):
    done = subprocess.run(args, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise AssertionError("%s: %s" % (" ".join(args), done.stdout))
    return done.stdout


def random_writes(rng, size, count):
    """Commands for qemu-io, as a guest may: data, zeroes, discards."""
    commands = []
    for _ in range(count):
        start = rng.randrange(0, size, 512)
        length = min(size - start, rng.choice([512, 4096, 64 * KIB, 300 * KIB,
                                               1024 * KIB]))
        if rng.random() < 0.4:
            start -= start % (64 * KIB)
        kind = rng.choice(["write -q -P %d" % rng.randrange(1, 256),
                           "write -q -P 0", "write -q -z", "write -q -z -u",
                           "discard -q"])
        commands.append("%s %d %d" % (kind, start, length))
    return commands


def write_randomly(rng, path, size, count):
    """To a qcow2 image."""
    commands = [a for c in random_writes(rng, size, count) for a in ("-c", c)]
    if commands:
        run("qemu-io", "-f", "qcow2", "-d", "unmap", *commands, path)


class Server:
    """A server on a Unix socket, ended with the block."""

    count = 0

    def __init__(self, *args):
        self.args = args
        Server.count += 1
        self.socket = os.path.abspath("%d.sock" % Server.count)

    def __enter__(self):
        # The socket exists before it listens; the PID file is written later.
        ready = "%d.pid" % Server.count
        self.process = subprocess.Popen(
            [a.replace("SOCKET", self.socket) for a in self.args]
            + ["--pid-file=" + ready],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        deadline = time.monotonic() + 30
        while not os.path.exists(ready):
            if self.process.poll() is not None:
                raise AssertionError(self.process.stdout.read())
            if time.monotonic() > deadline:
                raise AssertionError("%s does not listen" % self.args[0])
            time.sleep(0.002)
        return self

    def __exit__(self, *exception):
        self.process.terminate()
        try:
            output = self.process.communicate(timeout=60)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        if exception[0] or "error" in output:
            sys.stderr.write(output)

    def uri(self, export=""):
        return "nbd+unix:///%s?socket=%s" % (export, self.socket)

    def status(self, export, *contexts):
        """By context: start, end and flags of each extent."""
        found = {context: [] for context in contexts}

        def extents(context, offset, entries, error):
            for length, flags in zip(entries[::2], entries[1::2]):
                found[context].append((offset, offset + length, flags))
                offset += length

        handle = nbd.NBD()
        for context in contexts:
            handle.add_meta_context(context)
        handle.set_export_name(export)
        handle.connect_unix(self.socket)
        assert all(handle.can_meta_context(c) for c in contexts), contexts
        size = handle.get_size()
        handle.block_status(size, 0, extents)
        handle.shutdown()
        for context in contexts:
            assert found[context][-1][1] == size, "%s ends early" % context
        return found
