# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The client that looks at all that nbdkit makes of a rogue server, and knows
# what is true.

import random
import time

import nbd

from rogue_wire import *

SHOWN = {"overlay": {"D": 0, "Z": 3, "C": 1, "z": 1},
         "sparse": {"D": 0, "Z": 0, "C": 3, "z": 3}}


class TooLong(Exception):
    """A request was not answered in time."""


class Checker:
    """Counts what is served and what fails; problems are lies."""

    def __init__(self, fault, view, socket, limit):
        self.fault, self.view, self.socket = fault, view, socket
        self.limit = limit              # seconds for one request
        self.size = fault.get("size", SIZE)
        self.export = fault.get("export", "")
        self.answered = self.failed = self.inexact = 0
        self.lies, self.first_failure = [], None

    def lie(self, text):
        if len(self.lies) < 3:
            self.lies.append(text)

    def poll(self, handle, is_over):
        deadline = time.monotonic() + self.limit
        while not is_over():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TooLong
            handle.poll(int(left * 1000) + 1)

    def connect(self, negotiate=True):
        handle = nbd.NBD()
        handle.add_meta_context("base:allocation")
        handle.set_export_name(self.export)
        handle.aio_connect_unix(self.socket)
        if not negotiate:
            return handle
        self.poll(handle, lambda: not handle.aio_is_connecting()
                  and not handle.aio_is_created())
        if not handle.aio_is_ready():
            raise nbd.Error("no export", 0)
        return handle

    def finish(self, handle, cookie):
        self.poll(handle, lambda: handle.aio_command_completed(cookie))

    def note(self, error, text):
        self.failed += 1
        self.first_failure = self.first_failure or "%s: %s" % (text, error)

    def read(self, handle, offset, count):
        if count <= 0:
            return
        try:
            buffer = nbd.Buffer(count)
            self.finish(handle, handle.aio_pread(buffer, offset))
        except nbd.Error as error:
            self.note(error, "read of %d at %d" % (count, offset))
            where = self.fault.get("where")
            if self.fault.get("rest") and (offset + count <= where[0]
                                           or offset >= where[1]):
                self.lie("a good read fails at %d" % offset)
            return
        self.answered += 1
        if bytes(buffer.to_bytearray()) != contents(offset, count):
            self.lie("wrong bytes in %d at %d" % (count, offset))

    def status(self, handle, offset, count):
        found = []

        def extents(context, at, entries, error):
            found.extend((length, flags) for length, flags in
                         zip(entries[::2], entries[1::2]))
        try:
            self.finish(handle, handle.aio_block_status(count, offset,
                                                        extents))
        except nbd.Error as error:
            self.note(error, "block status of %d at %d" % (count, offset))
            return count
        self.answered += 1
        at = offset
        for length, flags in found:
            length = min(length, offset + count - at)
            self.check_extent(at, length, flags)
            at += length
        return max(at - offset, 1)

    def check_extent(self, offset, length, flags):
        """A dirty block is never clean, and zeroes are zero."""
        dirty = self.fault.get("dirty")
        if dirty == "every other":
            # Of single bytes: a single one may be clean.
            if flags and length > 1:
                self.lie("%d clean bytes at %d" % (length, offset))
            return
        for run, (letter_length, wants) in enumerate(runs(
                offset, min(length, 2 * SIZE), lambda letter: letter)):
            letter = {"C": "D", "z": "Z"}.get(wants, wants) \
                if dirty == "all" else wants
            want = SHOWN[self.view][letter]
            if flags == want:
                continue
            self.inexact += 1
            is_clean = flags == SHOWN[self.view]["C"]
            if letter in "DZ" and is_clean:
                self.lie("dirty bytes are called clean in %d at %d"
                         % (length, offset))
            elif flags & 2 and wants in "CD" and self.view == "overlay":
                self.lie("data is called zero in %d at %d"
                         % (length, offset))

    def look(self, handle, end, step):
        at = 0
        while at < end:
            at += self.status(handle, at, min(step, end - at))

    def all(self):
        """In every way that clients have."""
        end = min(self.size, SIZE)
        light = self.fault.get("light", self.fault["step"] not in (
            "none", "read", "status", "requests"))
        first = self.connect()
        if first.get_size() != self.size:
            self.lie("the size is %d" % first.get_size())
        if end == 0:
            self.answered += 1
            return [first]
        if self.fault.get("ask"):
            self.status(first, 0, self.fault["ask"])
        self.look(first, end, MIB)
        for at in range(0, end, 64 * KIB):
            self.read(first, at, min(64 * KIB, end - at))
        self.read(first, 0, end)
        if light:
            return [first]
        second = self.connect()
        for at in range(0, end, 256 * KIB):
            self.read(second, at, min(256 * KIB, end - at))
        rng = random.Random(7)
        least = max(second.get_block_size(nbd.SIZE_MINIMUM), 1)
        for _ in range(24):
            at = rng.randrange(end) // least * least
            count = rng.choice([1, 512, 4096, 70000, 300000])
            self.read(second, at, min(-(-count // least) * least, end - at))
        for at in range(0, end, MIB):
            self.read(second, at, min(MIB, end - at))
        self.look(second, end, 192 * KIB)
        return [first, second]

    def hang(self, how):
        """Leave a request under way that the server does not answer."""
        handle = self.connect(negotiate=how != "connecting")
        deadline = time.monotonic() + 1
        if how == "reading":
            buffer = nbd.Buffer(256 * KIB)
            handle.aio_pread(buffer, FAULTY_READ)
        elif how == "asking":
            handle.aio_block_status(min(self.size,
                                        self.fault.get("ask", SIZE)), 0,
                                    lambda *extents: 0)
        while time.monotonic() < deadline:
            handle.poll(100)
        return [handle]


FAULTY_READ = 0x240000
