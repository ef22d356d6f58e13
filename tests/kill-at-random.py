# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Start nbdkit and kill one of its processes at a random instant of the first
# MS, again and again; what was said to end must end, with all that belongs
# to it, and leave nothing:
#
#   kill-at-random.py SEED ROUNDS SECONDS MS VICTIM,… PLUGIN PARAMETER…
#
# The victims: "first", which was started first; nbdkit, the one that serves;
# qemu-storage-da, the storage daemon.
#
# Processes are known by a word in their environment, which each inherits from
# the one that started it.

import os
import random
import shutil
import signal
import subprocess
import sys
import time

MODES = ["-f", "background", "--run"]
SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]
LEFT_AFTER = 10
COMMAND_S = 1


def processes(word):
    """ID → name of those that live with that word in their environment."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open("/proc/%s/environ" % entry, "rb") as environ:
                if word.encode() not in environ.read().split(b"\0"):
                    continue
            with open("/proc/%s/comm" % entry) as comm:
                found[int(entry)] = comm.read().strip()
        except OSError:
            pass
    return found


def end(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def describe(pid):
    """What it waits for, for whoever must find out why it is left."""
    print("left: process %d" % pid)
    for name in ["cmdline", "stat", "wchan"]:
        try:
            with open("/proc/%d/%s" % (pid, name), "rb") as file:
                print("  %s: %s" % (name, file.read().replace(b"\0", b" ")))
        except OSError:
            pass
    subprocess.run(["gdb", "-p", str(pid), "-batch", "-ex", "thread apply all bt"]
                   if shutil.which("gdb") else ["true"], check=False)


class Case:
    def __init__(self, number, rng, within_ms, victims, arguments):
        self.word = "KILLED_AT_RANDOM=%d.%d" % (os.getpid(), number)
        self.mode, self.victim = rng.choice(MODES), rng.choice(victims)
        self.signal = rng.choice(SIGNALS)
        self.instant = rng.random() * within_ms / 1000
        self.folder = os.path.abspath("case%d" % number)
        self.temporary = os.path.join(self.folder, "tmp")
        os.makedirs(self.temporary)
        command = ["nbdkit", "-U", os.path.join(self.folder, "sock")]
        command += {"-f": ["-f"], "--run": [], "background": []}[self.mode]
        command += arguments
        if self.mode == "--run":
            command += ["--run", "exec sleep %d" % COMMAND_S]
        key, value = self.word.split("=")
        self.log = open(os.path.join(self.folder, "log"), "w")
        self.first = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log, start_new_session=True,
            env={**os.environ, key: value, "TMPDIR": self.temporary})

    def name(self):
        return "%s of %s, SIG%s at %d ms" % (
            self.victim, self.mode, self.signal.name[3:], self.instant * 1000)

    def strike(self):
        """Kill the victim if it is there, and say whether it was."""
        time.sleep(self.instant)
        if self.victim == "first":
            if self.first.poll() is not None:
                return False
            end(self.first.pid, self.signal)
            return True
        victims = [pid for pid, name in processes(self.word).items()
                   if name == self.victim]
        # With --run there are two; the server is the younger one.
        if not victims:
            return False
        # QEMU 7.2's daemon may hang on SIGTERM, and is then waited for as long as
        # one that is slow.
        end(max(victims), self.signal if self.victim == "nbdkit"
            else signal.SIGKILL)
        return True

    def servers(self):
        return [pid for pid, name in processes(self.word).items()
                if name == "nbdkit"]

    def is_over(self):
        """A process that is just being executed has no environment."""
        return self.first.poll() is not None and not processes(self.word)

    def wait(self, seconds):
        deadline = time.monotonic() + seconds
        while not self.is_over() and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.is_over()

    def finish(self):
        """What is left of processes, by name, once all was told to end."""
        if self.mode == "--run":
            # Nobody is told anything more: the command ends by itself.
            self.wait(COMMAND_S + LEFT_AFTER)
        elif not self.wait(0.3):
            # Again and again, as one may just have forked.
            for _ in range(LEFT_AFTER):
                for pid in self.servers():
                    end(pid, self.signal)
                if self.wait(1):
                    break
        left = processes(self.word)
        for pid in left:
            describe(pid)
            end(pid, signal.SIGKILL)
        self.first.wait()
        self.log.close()
        return sorted(left.values())

    def folders(self):
        return sorted(os.listdir(self.temporary))


def main():
    seed, rounds, seconds, within_ms = map(int, sys.argv[1:5])
    victims, arguments = sys.argv[5].split(","), sys.argv[6:]
    rng = random.Random(seed)
    struck = {}
    bad = folders = done = 0
    deadline = time.monotonic() + seconds
    while done < rounds and time.monotonic() < deadline:
        case = Case(done, rng, within_ms, victims, arguments)
        hit = case.strike()
        left = case.finish()
        done += 1
        key = (case.mode, case.victim if hit else "(none yet, or over)")
        struck[key] = struck.get(key, 0) + 1
        if left:
            bad += 1
            print("FAILED: %s: left running: %s" % (case.name(),
                                                    ", ".join(left)))
        if case.folders():
            # SIGKILL can't be helped; the next start clears it away.
            folders += 1
            subprocess.run(["nbdkit", "-U", "-"] + arguments
                           + ["--run", "true"], check=True,
                           env={**os.environ, "TMPDIR": case.temporary})
            if case.folders():
                bad += 1
                print("FAILED: %s: the next start left %s" % (
                    case.name(), case.folders()))
        shutil.rmtree(case.folder)
    for key in sorted(struck):
        print("%5d kills: %s, %s" % (struck[key], *key))
    print("%d kills, seed %d: %d left something; a folder for the next start "
          "to remove in %d" % (done, seed, bad, folders))
    sys.exit(1 if bad or not done else 0)


if __name__ == "__main__":
    main()
