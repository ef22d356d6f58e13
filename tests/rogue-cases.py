# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Every row of some tables of faults, each with a server and an nbdkit of its
# own, several at a time, in the current folder:
#
#   rogue-cases.py PLUGIN TABLE…          as rogue_TABLE.py
#
# ONLY=TEXT takes the rows with that in their names, VERBOSE=1 tells what became
# of each.  JOBS=N are done at a time, and besides, WAITING=N of those in which
# nothing happens but that a limit is waited for.  NBDKIT_PRELOAD=FILE is
# preloaded into nbdkit.

import importlib
import multiprocessing
import os
import queue
import re
import resource
import signal
import subprocess
import sys
import time

import nbd

from rogue_client import Checker, TooLong
from rogue_server import RogueServer

SANITIZED = bool(os.environ.get("sanitizers"))
SLOWER = 4 if SANITIZED else 1
# nbdkit itself gives up after 10.
START_LIMIT = 13 + 3 * (SLOWER - 1)
END_LIMIT = 5 * SLOWER
CPU_LIMIT = 2.5
MEMORY_LIMIT = 300                      # MiB
LOG_LIMIT = 64 * 1024
CASE_LIMIT = 60 * SLOWER
NOT_COMMITTED = "the fault was not committed"
# Rows hold functions that cannot be sent to a process which does not begin as a
# copy of this one, as it does not since Python 3.14 unless asked to.
forked = multiprocessing.get_context("fork")


class Host:
    """A process with the rogue servers of one worker, so that they go on while
    its client waits."""

    def __init__(self, rows):
        self.pipe, other = forked.Pipe()
        self.process = forked.Process(target=self.serve,
                                      args=(rows, other, self.pipe))
        self.process.start()
        other.close()

    @staticmethod
    def serve(rows, pipe, other):
        other.close()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        server = None
        while True:
            try:
                order = pipe.recv()
            except EOFError:
                os._exit(0)
            if order is not None:
                name, number = order
                server = RogueServer(rows[number], os.getcwd(), name)
                pipe.send(server.uri)
            else:
                pipe.send(server.close())

    def begin(self, name, number):
        self.pipe.send((name, number))
        return self.pipe.recv()

    def end(self):
        self.pipe.send(None)
        return self.pipe.recv()


class Nbdkit:
    """nbdkit, what it says, and what it costs."""

    def __init__(self, plugin, name, uri, fault, view):
        self.socket = os.path.abspath(name + ".nbdkit")
        self.pid_file, self.log = name + ".pid", name + ".log"
        for path in (self.socket, self.pid_file):
            if os.path.exists(path):
                os.unlink(path)
        options = ["--exit-with-parent", "-U", self.socket, "-P",
                   self.pid_file]
        if fault.get("patience"):
            options += ["-D", "checkpoint.patience=%d" % fault["patience"]]
        environment = dict(os.environ)
        if "NBDKIT_PRELOAD" in environment and not SANITIZED:
            environment["LD_PRELOAD"] = environment["NBDKIT_PRELOAD"]
        self.before = 1.1 * resource.getrusage(
            resource.RUSAGE_SELF).ru_maxrss
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                ["nbdkit", "-f"] + options
                + [plugin, "uri=" + uri, "checkpoint=monday", "view=" + view],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment)
        self.peak, self.status = 0, None

    def has_ended(self):
        if self.status is None:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.status = self.process.returncode \
                    = os.waitstatus_to_exitcode(status)
                self.cpu = usage.ru_utime + usage.ru_stime
                # Until it is nbdkit, it is as large as we are.
                if usage.ru_maxrss > self.before:
                    self.peak = usage.ru_maxrss // 1024
        return self.status is not None

    def wait(self, seconds, also=lambda: False):
        deadline = time.monotonic() + seconds
        while not self.has_ended() and not also():
            if time.monotonic() > deadline:
                return False
            self.look_at_memory()
            time.sleep(0.01)
        return True

    def look_at_memory(self):
        try:
            with open("/proc/%d/status" % self.process.pid) as status:
                text = status.read()
        except OSError:
            return
        for line in text.split("\n"):
            if line.startswith("VmHWM:") and "\nName:\tnbdkit" in "\n" + text:
                self.peak = max(self.peak, int(line.split()[1]) // 1024)

    def has_started(self):
        return os.path.exists(self.pid_file)

    def lines(self):
        with open(self.log, errors="replace") as log:
            return [line for line in log.read().split("\n")
                    if line and "debug flag" not in line]

    def kill(self):
        if not self.has_ended():
            self.process.kill()
            self.wait(20)

    def end(self, handles, problems):
        """Told to end, it does so soon, whatever it waits for, but for clients:
        these leave (libnbd 1.14 has no close(): it comes with the last
        reference)."""
        told = time.monotonic()
        if not self.has_ended():
            self.look_at_memory()
            self.process.send_signal(signal.SIGTERM)
            handles.clear()
            if not self.wait(END_LIMIT):
                problems.append("does not end in %d s" % END_LIMIT)
                self.kill()
        elif self.status:
            problems.append("ended by itself: %s" % self.status)
        if self.status and not problems:
            problems.append("status %s at the end" % self.status)
        return time.monotonic() - told


def judge(fault, checker, got, problems):
    """What the row expects, and what happened."""
    expect = fault["expect"]
    if expect == "lie":
        if not checker or not checker.lies:
            problems.append("the lie was not noticed: " + got)
        return "lie"
    if checker:
        problems += checker.lies
    allowed = expect if isinstance(expect, tuple) else (expect,)
    if got not in allowed and "safe" not in allowed:
        problems.append("%s, not %s%s" % (
            got, " or ".join(allowed), " (%s)" % checker.first_failure
            if checker and checker.first_failure else ""))
    if got == "served" and allowed == ("served",) and checker.inexact:
        problems.append("extents are not those of the server")
    return got


def use(fault, view, nbdkit, problems):
    """As a client.  The checker, and refused, eio or served."""
    patience = fault.get("patience", 0)
    checker = Checker(fault, view, nbdkit.socket,
                      (3 * patience + 3) * SLOWER if patience else 15)
    handles = []
    try:
        if fault.get("end"):
            handles = checker.hang(fault["end"])
            return checker, "eio", handles
        handles = checker.all()
    except TooLong:
        problems.append("a request is not answered in %d s" % checker.limit)
        return checker, "eio", handles
    except nbd.Error as error:
        checker.note(error, "connection")
    return checker, "eio" if checker.failed else "served", handles


def check_refusal(fault, nbdkit, problems):
    # What a sanitizer says of us is in a file of its own; that it could not
    # look (LeakSanitizer, now and then) is not.
    lines = [line for line in nbdkit.lines()
             if not SANITIZED or line.startswith("nbdkit: ")]
    if nbdkit.status != 1 or len(lines) != 1:
        problems.append("status %d with %d lines" % (nbdkit.status,
                                                     len(lines)))
    for words in (": Success", fault.get("never")):
        if words and words in "".join(lines):
            problems.append("it says '%s'" % words)


def run_case(plugin, host, name, number, fault, view):
    problems, checker, handles, took = [], None, [], 0
    nbdkit = Nbdkit(plugin, name, host.begin(name, number), fault, view)
    try:
        got = "refused"
        if not nbdkit.wait(START_LIMIT, nbdkit.has_started):
            problems.append("neither starts nor refuses in %d s"
                            % START_LIMIT)
            nbdkit.kill()
        elif nbdkit.has_started():
            checker, got, handles = use(fault, view, nbdkit, problems)
            took = nbdkit.end(handles, problems)
        else:
            check_refusal(fault, nbdkit, problems)
    finally:
        nbdkit.kill()
        hits = host.end()
    check_costs(fault, nbdkit, problems, hits)
    return dict(got=judge(fault, checker, got, problems), peak=nbdkit.peak,
                cpu=nbdkit.cpu, end=took, said=nbdkit.lines()[:3],
                answered=checker and checker.answered,
                failed=checker and checker.failed, problems=problems,
                unheard=got == "refused" and NOT_COMMITTED in problems)


def check_costs(fault, nbdkit, problems, hits):
    if os.path.getsize(nbdkit.log) > LOG_LIMIT:
        problems.append("%d bytes of log" % os.path.getsize(nbdkit.log))
    if not SANITIZED and nbdkit.peak > fault.get("memory", MEMORY_LIMIT):
        problems.append("%d MiB of memory" % nbdkit.peak)
    if nbdkit.cpu > fault.get("cpu", CPU_LIMIT) * SLOWER:
        problems.append("%.1f s of processor time" % nbdkit.cpu)
    if fault.get("says", "") not in "\n".join(nbdkit.lines()):
        problems.append("it does not say '%s'" % fault["says"])
    if not hits and fault["step"] != "none" and fault.get("listens", True) \
            is True:
        problems.append(NOT_COMMITTED)


def work(plugin, rows, cases, put, worker):
    """Do each case, (number, view), and put() what came of it."""
    host = Host(rows)
    try:
        for number, view in cases:
            began = time.monotonic()
            try:
                result = run_case(plugin, host, "w%s" % worker, number,
                                  rows[number], view)
            except Exception as failure:
                result = dict(got="broken", peak=0, cpu=0, end=0, said=[],
                              answered=0, failed=0, unheard=False,
                              problems=["the test: %r" % failure])
            result["took"] = time.monotonic() - began
            put((number, view, result))
    finally:
        host.pipe.close()               # which ends it


def taken_from(cases, taken):
    """What no other worker has taken.  (A multiprocessing.Queue says that it is
    empty while another reads it, too.)"""
    while True:
        with taken.get_lock():
            index = taken.value
            taken.value += 1
        if index >= len(cases):
            return
        yield cases[index]


def work_apart(plugin, rows, cases, taken, results, worker):
    signal.signal(signal.SIGTERM, lambda *args: sys.exit(1))
    work(plugin, rows, taken_from(cases, taken), results.put, worker)


def again_if_unheard(plugin, rows, done):
    """Where all are late, nbdkit may give up before the server comes to its
    fault.  Such a case has shown nothing: once more, alone."""
    unheard = [(number, view) for number, view, result in done
               if result["unheard"]]
    done = [case for case in done if case[:2] not in unheard]
    if unheard:
        work(plugin, rows, unheard, done.append, "again")
    return done


WAITING = re.compile("stall|silen|deaf|a byte at a time|a byte a second|echo"
                     "|half a record$|one byte$|nobody accepts|no end$"
                     "|plain text$|longest record")
LONG = re.compile("ever|8,388|TiB|2\\^6|20,000|slow")


def lanes(rows, only):
    """The cases that wait, and those that work, the longest of these first.
    Where all is slower, every other one: the rest is of the same kinds.
    """
    waiting, working = [], []
    for number, fault in enumerate(rows):
        if only not in fault["name"]:
            continue
        views = ["overlay", "sparse"]
        if not fault.get("views"):
            # Reads are the same in all views.
            views = [views[number % 2 if fault["step"] == "read" else 0]]
        lane = waiting if WAITING.search(fault["name"]) else working
        lane += [(number, view) for view in views]
    if SANITIZED and not only:
        waiting, working = waiting[::2], working[::2]
    working.sort(key=lambda case: not LONG.search(rows[case[0]]["name"]))
    return [(waiting, int(os.environ.get("WAITING", 20 // SLOWER))),
            (working, int(os.environ.get("JOBS", 8 // SLOWER)))]


def report(rows, done, seconds):
    bad = 0
    for number, view, result in done:
        if os.environ.get("VERBOSE"):
            print("%-60s %-8s %-8s %3d MiB %5.2f s CPU, %5.2f s end, "
                  "%5.2f s, %s ok, %s failed; %s" % (
                      rows[number]["name"], view, result["got"],
                      result["peak"], result["cpu"], result["end"],
                      result["took"], result["answered"], result["failed"],
                      " | ".join(result["said"])[:300]))
        if result["problems"]:
            bad += 1
            print("FAILED: %s (%s): %s" % (
                rows[number]["name"], view, "; ".join(result["problems"])))
            print("  " + "\n  ".join(result["said"]))
    counts = {}
    for number, view, result in done:
        counts[result["got"]] = counts.get(result["got"], 0) + 1
    print("%d faults, %d cases: %s; %d failed; peak %d MiB, longest end "
          "%.1f s, most processor time %.1f s; %d s" % (
              len({number for number, view, result in done}), len(done),
              ", ".join("%d %s" % (counts[k], k) for k in sorted(counts)),
              bad, max(result["peak"] for *_, result in done),
              max(result["end"] for *_, result in done),
              max(result["cpu"] for *_, result in done), seconds))
    return bad


def main():
    plugin, tables = sys.argv[1], sys.argv[2:]
    rows = [fault for table in tables
            for fault in importlib.import_module("rogue_" + table).ROWS]
    names = [fault["name"] for fault in rows]
    assert len(set(names)) == len(names), \
        [name for name in names if names.count(name) > 1]
    began = time.monotonic()
    done = run_all(plugin, rows, lanes(rows, os.environ.get("ONLY", "")))
    sys.exit(1 if report(rows, done, time.monotonic() - began) else 0)


def run_all(plugin, rows, all_lanes):
    results, workers, done = forked.Queue(), [], []
    for cases, count in all_lanes:
        taken = forked.Value("i", 0)
        workers += [forked.Process(target=work_apart, args=(
            plugin, rows, cases, taken, results, len(workers) + i))
            for i in range(min(count, len(cases)))]
    signal.signal(signal.SIGTERM, lambda *args: sys.exit(1))
    for worker in workers:
        worker.start()
    try:
        for _ in range(sum(len(cases) for cases, count in all_lanes)):
            done.append(results.get(timeout=CASE_LIMIT))
    except queue.Empty:
        sys.exit("FAILED: no case ended in %d s" % CASE_LIMIT)
    finally:
        for worker in workers:
            worker.join(1)
            if worker.exitcode is None:
                worker.terminate()
    return again_if_unheard(plugin, rows, done)


if __name__ == "__main__":
    main()
