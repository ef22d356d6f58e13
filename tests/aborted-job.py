# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# For test-libvirt-aborted.sh and test-qmp-aborted.sh: one guest, whose backup job is
# aborted again and again while clients read what the guest overwrites.
#
#   aborted-job.py PLUGIN GUEST MONITOR SLOW SLOW_MONITOR SEED ROUNDS SOURCE…
#
# SLOW is another guest, that keeps libvirt busy; both are empty with qmp=.  SOURCE…
# are nbdkit's parameters.
# Prints: aborts, answers in success, refused ones, wrong ones, and the aborts
# in which QEMU itself told what the guest wrote after the job's begin.

import collections
import concurrent.futures
import faulthandler
import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback

import nbd
from clients import connected
from guest_calls import Guest, Monitor, QmpGuest

BLOCK = 65536
# The server asks QEMU for the map of 3.5 GiB at once, so it still asks while
# the job is aborted.
AREAS, AREA_BLOCKS, AREA_EVERY = 16, 32, 4 << 30
BLOCKS = AREAS * AREA_BLOCKS
STROKE = 16                     # blocks written at once
IN_FLIGHT = 4
HOLE, ZERO = nbd.STATE_HOLE, nbd.STATE_ZERO
CONTENT = [bytes([value]) * BLOCK for value in range(256)]
ANSWERS_WITHIN = 30             # seconds
ROUND_WITHIN = 60
DEAF = 3                        # our status if QEMU hangs


def offset_of(block):
    area, rest = divmod(block, AREA_BLOCKS)
    return area * AREA_EVERY + rest * BLOCK


class Disk:
    """What each block holds: bytes of this value."""

    def __init__(self, name, monitor):
        self.monitor = monitor
        self.wrong = open(name + ".wrong", "w")
        self.held = [0] * BLOCKS
        self.discarded = []
        self.strokes = 0

    def put(self, first, count, zero, rng):
        self.strokes += 1
        value = 0 if zero else 1 + self.strokes % 255
        command = "write -q -P %d" % value if value \
            else rng.choice(("write -q -z", "write -q -z -u", "discard -q"))
        self.do(command, first, count)
        if command == "discard -q":
            self.discarded.append((first, count))
        self.held[first:first + count] = [value] * count

    def do(self, command, first, count):
        self.monitor.guest_io("%s %d %d" % (command, offset_of(first),
                                            count * BLOCK))

    def settle(self, rng):
        """Between jobs.  QEMU ignores discards while a job runs.  And much
        must be data, for zeroes to be a change.
        """
        for first, count in self.discarded:
            self.do("write -q -z", first, count)
            self.held[first:first + count] = [0] * count
        self.discarded = []
        for stroke in range(0, BLOCKS, STROKE):
            if self.held[stroke] == 0 and rng.random() < 0.7:
                self.put(stroke, STROKE, False, rng)


class Abort:
    """One job: the truth is what the disk held when it began."""

    def __init__(self, disk, rng):
        self.disk, self.rng = disk, rng
        self.truth = disk.held[:]
        self.begun = threading.Event()      # somebody aborts it
        self.leaks = threading.Event()      # QEMU tells what is new
        self.over = threading.Event()       # no client reads any more
        self.since = None                   # when begun
        self.at = 0                         # where a client reads in order
        self.mapped = 0                     # the last area in the map
        self.latest = None                  # blocks that were written last
        self.answers = self.refused = self.wrong = 0    # guarded by:
        self.lock = threading.Lock()

    def note(self, answers=0, refused=0, wrong=None):
        with self.lock:
            self.answers += answers
            self.refused += refused
            if wrong:
                self.wrong += 1
                print(wrong, "before it was aborted" if self.since is None
                      else "%.1f ms after somebody went to abort it"
                      % (1000 * (time.monotonic() - self.since)),
                      file=self.disk.wrong)


class Client:
    """Reads until it is refused, whatever it is told."""

    def __init__(self, abort, socket):
        self.abort, self.socket = abort, socket
        self.rng = random.Random(abort.rng.random())

    def run(self):
        try:
            self.h = connected(self.socket)
        except nbd.Error:
            self.abort.note(refused=1)
            return
        try:
            while True:
                self.work()
        except nbd.Error:
            self.abort.note(refused=1)
        # Who asks again is not told otherwise.
        for _ in range(3):
            time.sleep(0.001)
            try:
                self.read(self.rng.randrange(BLOCKS))
            except nbd.Error:
                self.abort.note(refused=1)

    def tell(self, what, wrong):
        self.abort.note(answers=1, wrong=wrong and "%s of %s: %s" % (
            what, type(self).__name__, wrong))

    def check(self, block, data):
        value = self.abort.truth[block]
        self.tell("Data", data != CONTENT[value]
                  and "block %d held %d, was read as %s"
                  % (block, value, sorted(set(data))))

    def read(self, block):
        self.check(block, self.h.pread(BLOCK, offset_of(block)))

    def data_blocks(self, area):
        """By block status.  Zeroes may be called data, not the reverse."""
        first, told = area * AREA_BLOCKS, []
        self.abort.mapped = max(self.abort.mapped, area)

        def extents(context, offset, entries, error):
            for length, flags in zip(entries[::2], entries[1::2]):
                told.extend([flags] * (length // BLOCK))

        while len(told) < AREA_BLOCKS:
            self.h.block_status((AREA_BLOCKS - len(told)) * BLOCK,
                                offset_of(first + len(told)), extents)
        told = told[:AREA_BLOCKS]
        wrong = [first + i for i, flags in enumerate(told)
                 if flags == HOLE
                 or flags & ZERO and self.abort.truth[first + i] != 0]
        self.tell("Block status", wrong
                  and "%d blocks that held data are called zero or clean, "
                  "from %d" % (len(wrong), wrong[0]))
        return [first + i for i, flags in enumerate(told) if not flags & ZERO]


class Copier(Client):
    """In order, as nbdcopy, so that the server reads ahead."""

    def work(self):
        waiting = collections.deque()
        for area in range(AREAS):
            for block in self.data_blocks(area):
                self.abort.at = block
                buffer = bytearray(BLOCK)
                waiting.append((self.h.aio_pread(buffer, offset_of(block)),
                                buffer, block))
                if len(waiting) == IN_FLIGHT:
                    self.receive(*waiting.popleft())
        while waiting:
            self.receive(*waiting.popleft())

    def receive(self, cookie, buffer, block):
        while not self.h.aio_command_completed(cookie):
            self.h.poll(-1)
        self.check(block, buffer)


class Jumper(Client):
    """Anywhere, and mostly where the guest has just written."""

    def work(self):
        latest = self.abort.latest
        if latest is None or self.rng.random() < 0.3:
            self.read(self.rng.randrange(BLOCKS))
        else:
            self.read(self.rng.choice(latest))


class Walker(Client):
    """Asks for block status step by step, and reads some of the data; most of
    the map is left for the time when somebody aborts the job.
    """

    def work(self):
        rest_at = self.rng.randrange(3)
        rest = self.rng.choice((self.abort.begun, self.abort.leaks))
        for area in range(AREAS):
            blocks = self.data_blocks(area)
            if area <= rest_at:
                for block in self.rng.sample(blocks, min(4, len(blocks))):
                    self.read(block)
            if area == rest_at:
                rest.wait(0.2)
                time.sleep(self.rng.uniform(0, 0.015))


def guest_writes(abort):
    """Single blocks, while the job lives; all, once QEMU tells what is new,
    or in some cases before.
    """
    rng = random.Random(abort.rng.random())

    def write(first, count, zero):
        abort.disk.put(first, count, zero, rng)
        if abort.begun.is_set():
            abort.latest = range(first, first + count)

    while not abort.begun.wait(0.002):
        write((abort.at + rng.randrange(100)) % BLOCKS, 1, rng.random() < 0.3)
    if rng.random() < 0.8:
        while not (abort.leaks.is_set() or abort.over.is_set()):
            write((abort.at + rng.randrange(20)) % BLOCKS, 1, False)
    for stroke, zero in strokes_in_order(abort, rng):
        if abort.over.is_set():
            return
        write(stroke, STROKE, zero)


def strokes_in_order(abort, rng):
    """First what is being read ahead, and what the map is not known of."""
    here = abort.at - abort.at % STROKE
    unknown = (abort.mapped + 1) * AREA_BLOCKS
    zeroes = range(unknown, min(unknown + 4 * AREA_BLOCKS, BLOCKS), STROKE)
    others = [stroke for stroke in range(0, BLOCKS, STROKE)
              if stroke not in zeroes and stroke != here]
    rng.shuffle(others)
    return [(here, False)] + [(stroke, True) for stroke in zeroes] \
        + [(stroke, rng.random() < 0.3) for stroke in others]


def qemu_tells_new(abort, socket, export):
    """Does QEMU's own export tell what was written after the job's begin?  If
    it never does, this test tests nothing.
    """
    rng = random.Random(abort.rng.random())
    try:
        h = nbd.NBD()
        h.set_export_name(export)
        h.connect_unix(socket)
        while not abort.over.is_set():
            latest = abort.latest
            if latest is None:
                time.sleep(0.001)
                continue
            block = rng.choice(latest)
            if h.pread(BLOCK, offset_of(block)) != CONTENT[abort.truth[block]]:
                abort.leaks.set()
                return
    except nbd.Error:
        pass


class Server:
    def __init__(self, plugin, name, source):
        self.socket, pid = name + ".nbd.sock", name + ".pid"
        for file in self.socket, pid:
            if os.path.exists(file):
                os.unlink(file)
        with open(name + ".nbdkit.log", "w") as log:
            self.process = subprocess.Popen(
                ["nbdkit", "-f", "--exit-with-parent", "-U", self.socket,
                 "-P", pid, plugin] + source + ["checkpoint=monday"], stderr=log)
        while not os.path.exists(pid) or os.path.getsize(pid) == 0:
            if self.process.poll() is not None:
                raise OSError("nbdkit did not start: "
                              + open(name + ".nbdkit.log").read())
            time.sleep(0.002)

    def stop(self):
        self.process.terminate()
        self.process.wait(ANSWERS_WITHIN)


class Hold:
    """libvirt ends the jobs of all guests in one thread.  This makes it wait for
    another guest: a command keeps libvirt's lock of that guest while its QEMU
    tells that its job has ended, and then that QEMU stands still.  So libvirt
    says that our job runs, long after QEMU has ended it.
    """

    TRIES = 5                           # on a busy machine, libvirt may be quicker

    def __init__(self, guest, monitor, socket):
        self.guest, self.monitor = guest, monitor
        for _ in range(self.TRIES):
            self.take(socket)
            if guest.has_backup():
                return
            self.release()
        raise OSError("libvirt does not wait for the other guest")

    def take(self, socket):
        guest, monitor = self.guest, self.monitor
        guest.begin_job(socket)
        self.command = threading.Thread(
            target=guest.monitor_command,
            args=('qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend '
                  '"sleep 1000"',), daemon=True)
        self.command.start()
        time.sleep(0.1)
        monitor.cancel_backups()
        time.sleep(0.1)                 # libvirt hears of it
        os.kill(monitor.pid, signal.SIGSTOP)

    def release(self):
        os.kill(self.monitor.pid, signal.SIGCONT)
        self.command.join()
        while self.guest.has_backup():
            time.sleep(0.002)


def abort_once(pool, server, guest, slow, name, disk, rng):
    hold = Hold(*slow, os.path.abspath(name + ".slow.sock")) \
        if slow and rng.random() < 0.3 else None
    abort = Abort(disk, rng)
    qemu = pool.submit(qemu_tells_new, abort, *guest.job_export("vda"))
    writer = pool.submit(guest_writes, abort)
    clients = [pool.submit(kind(abort, server.socket).run)
               for kind in (Copier, Jumper, Walker)]
    # Also while clients connect, and while the map is read.
    time.sleep(rng.choice((0.01, 0.05, 0.2)) * rng.random())
    abort.since = time.monotonic()
    abort.begun.set()
    rng.choice((guest.abort_job, lambda: guest.abort_block_job("vda"),
                disk.monitor.cancel_backups))()
    for client in clients:
        client.result(ANSWERS_WITHIN)
    if hold:
        if not guest.has_backup():
            raise OSError("libvirt was not late")
        hold.release()
    abort.over.set()
    writer.result(ANSWERS_WITHIN)
    qemu.result(ANSWERS_WITHIN)
    server.stop()
    while guest.has_backup():
        time.sleep(0.002)
    return 1, abort.answers, abort.refused, abort.wrong, \
        int(abort.leaks.is_set())


def is_deaf(monitor):
    """QEMU may hang for ever where a job is ended while requests are under way
    (once in some hundred times, 7.2 and 10.0).  What was told until then counts.
    """
    asking = threading.Thread(target=monitor.ask, args=("info name",),
                              daemon=True)
    asking.start()
    asking.join(10)
    return asking.is_alive()


def end(disk, sums):
    faulthandler.dump_traceback()
    if sys.exc_info()[0]:
        traceback.print_exc()
    deaf = is_deaf(disk.monitor)
    if deaf:
        print(*sums, flush=True)
    disk.wrong.flush()
    # Clients that are still served would keep us.
    os._exit(DEAF if deaf else 1)


def main():
    plugin, name, monitor, slow, slow_monitor, seed, rounds = sys.argv[1:8]
    source = sys.argv[8:]
    if slow:
        guest, monitor = Guest(name), Monitor(monitor)
        slow = Guest(slow), Monitor(slow_monitor)
    else:
        guest, monitor = QmpGuest(name), Monitor(monitor, "disk-a")
    disk, sums = Disk(name, monitor), [0] * 5
    rng = random.Random(name + seed)
    for area in range(AREAS):
        disk.put(area * AREA_BLOCKS, AREA_BLOCKS, False, rng)
    pool = concurrent.futures.ThreadPoolExecutor(5)
    for _ in range(int(rounds)):
        timer = threading.Timer(ROUND_WITHIN, end, (disk, sums))
        timer.daemon = True
        timer.start()
        try:
            disk.settle(rng)
            counts = abort_once(pool, Server(plugin, name, source), guest, slow,
                                name, disk, rng)
        except BaseException:
            timer.cancel()
            end(disk, sums)
        timer.cancel()
        sums = [a + b for a, b in zip(sums, counts)]
    print(*sums)


main()
