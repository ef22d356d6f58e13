# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Speaks to the keeper in nbdkit's place: starts nbdkit with the arguments, and
# once it serves, stops it, takes its sockets to the keeper (pidfd_getfd(2)) and
# says all that it must not be asked for any more.  Prints what was answered.

import ctypes, os, re, select, signal, socket, struct, subprocess, sys, time

LOOK, BEGIN, ADOPT = 1, 2, 3   # common/keeper/telling.h
PIDFD_OPEN, PIDFD_GETFD = 434, 438


def frame(kind, *texts):
    """As common/keeper/message.c: GVariant's serialization of (uaay)."""
    strings = [t.encode() + b"\0" for t in texts]
    body, ends = b"".join(strings), []
    for s in strings:
        ends.append((ends[-1] if ends else 0) + len(s))
    for size, code in (1, "B"), (2, "H"), (4, "I"):
        if len(body) + size * len(ends) < 256 ** size:
            break
    data = struct.pack("=I", kind) + body \
        + b"".join(struct.pack("=" + code, e) for e in ends)
    return struct.pack("=I", len(data)) + data


def sockets_of(pid):
    """Its halves of socket pairs."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = libc.syscall(PIDFD_OPEN, pid, 0)
    for fd in sorted(map(int, os.listdir("/proc/%d/fd" % pid))):
        if not os.readlink("/proc/%d/fd/%d" % (pid, fd)).startswith("socket:"):
            continue
        copy = libc.syscall(PIDFD_GETFD, pidfd, fd, 0)
        if copy < 0:
            sys.exit("pidfd_getfd: " + os.strerror(ctypes.get_errno()))
        s = socket.socket(fileno=copy)
        try:
            if s.getpeername() == "" and s.getsockname() == "":
                yield s
        except OSError:                 # it listens
            pass


def answers(s):
    """Kinds of the messages that come within a second of silence."""
    while select.select([s], [], [], 1)[0]:
        length, = struct.unpack("=I", s.recv(4, socket.MSG_WAITALL))
        data = s.recv(length, socket.MSG_WAITALL)
        yield struct.unpack("=I", data[:4])[0], data[4:]


def serves():
    """It can be asked only once it has had itself adopted."""
    return subprocess.run(["nbdinfo", "--size", "nbd+unix:///?socket=n.sock"],
                          capture_output=True).returncode == 0


def is_stopped(pid):
    """All threads; one of them receives what the keeper says."""
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/stat" % (pid, task)) as stat:
            if stat.read().rpartition(")")[2].split()[0] != "T":
                return False
    return True


script, folder = sys.argv[1:3]
nbdkit = subprocess.Popen(["nbdkit"] + sys.argv[3:])
while not serves():
    if nbdkit.poll() is not None:
        sys.exit("nbdkit did not start")
    time.sleep(0.05)
os.kill(nbdkit.pid, signal.SIGSTOP)
while not is_stopped(nbdkit.pid):
    time.sleep(0.01)
xml = "<domainbackup mode='pull'><server transport='unix' socket='%s/nbd'/>" \
    "</domainbackup>" % folder
for s in sockets_of(nbdkit.pid):
    s.send(frame(LOOK, "qemu+ext:///system?command=" + script, "web1", "1"))
    s.send(frame(BEGIN, xml, "", "", "mark", folder, "", "0", "0", "1"))
    s.send(frame(BEGIN))
    s.send(frame(ADOPT, str(os.getppid())))
    s.send(frame(99, *["x" * 1000] * 100))
    for kind, data in answers(s):
        found = re.search(rb"does not do at this time \((message \d+)\)", data)
        if found:
            print("refused", found[1].decode())
os.kill(nbdkit.pid, signal.SIGCONT)
# It goes on as if nothing had been said.
if not serves():
    sys.exit("it does not serve any more")
nbdkit.terminate()
sys.exit(nbdkit.wait())
