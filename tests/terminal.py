#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# terminal.py [COLUMNS] [--quit-at REGEX SIGNAL] COMMAND…: run a command on a terminal
# of its own, and print what is on the screen in the end.  Once the screen shows
# the regex, "INT" is typed as Ctrl-C; any other signal is sent.  The file "seen" gets
# all that came.  Ends as the command does: with 128 and the signal's number, if by
# one.

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

words = sys.argv[1:]
columns, until, number = 80, None, None
if words[0].isdigit():
    columns = int(words.pop(0))
if words[0] == "--quit-at":
    until, number = re.compile(words[1]), getattr(signal, "SIG" + words[2])
    words = words[3:]


def screen(text):
    """Its lines, as a terminal shows them that is wide enough."""
    lines, line, at = [], [], 0
    for character in re.sub("\x1b\\[[0-9]*m", "", text):
        if character == "\n":
            lines.append("".join(line).rstrip())
            line, at = [], 0
        elif character == "\r":
            at = 0
        else:
            line[at:at + 1] = character
            at += 1
    return lines + ["".join(line).rstrip()]


pid, terminal = pty.fork()
if pid == 0:
    # A shell's background jobs ignore Ctrl-C, and timeout (coreutils 9) does not
    # undo that any more.
    for each in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        signal.signal(each, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.execvp(words[0], words)
seen, told, deadline = "", False, time.monotonic() + 100
while True:
    ready, _, _ = select.select([terminal], [], [], deadline - time.monotonic())
    if not ready:
        os.kill(pid, signal.SIGKILL)
        sys.exit("it does not end; this was seen: %r" % seen)
    try:
        came = os.read(terminal, 65536)
    except OSError:             # the command has ended
        came = b""
    if not came:
        break
    seen += came.decode("utf-8", "replace")
    if until and not told and until.search(seen):
        told = True
        if number == signal.SIGINT:
            os.write(terminal, b"\x03")
        else:
            os.kill(pid, number)
with open("seen", "w", newline="") as file:
    file.write(seen)
_, status = os.waitpid(pid, 0)
print("\n".join(screen(seen)))
if until and not told:
    sys.exit("nothing like that was seen: %r" % seen)
sys.exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status)
         else os.WEXITSTATUS(status))
