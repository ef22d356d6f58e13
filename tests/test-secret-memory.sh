#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Once the server serves, a passphrase is in none of its processes any more: not in
# memory that was freed, which a core would show, nor in what the storage daemon
# was given it in; and it never was in a command line or an environment.
. "$(dirname "$0")/functions.sh"

head -c 30 /dev/urandom | base64 -w 0 >key
create_slowly -f qcow2 --object secret,id=s,file=key \
  -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 disk.qcow2 1M

mkfifo end
# They are ours, so that we may read their memory also where only ancestors may.
cat >look.py <<'END'
import base64, os, subprocess, sys, time

secret = open("key", "rb").read()
plugin, options = sys.argv[1], sys.argv[2:]
# In base64, what it looks like depends on what is before.
wanted = [secret] + [base64.b64encode(b"x" * n + secret)[4:-4] for n in range(3)]

def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(word) for word in f.read().split()]

def family(pid):
    return [pid] + [p for child in children(pid) for p in family(child)]

def regions(pid):
    with open("/proc/%d/maps" % pid) as maps, \
         open("/proc/%d/mem" % pid, "rb", buffering=0) as memory:
        for line in maps:
            words = line.split()
            start, end = (int(n, 16) for n in words[0].split("-"))
            # A sanitizer's own are larger.
            if not words[1].startswith("rw") or end - start > 1 << 30:
                continue
            try:
                memory.seek(start)
                yield memory.read(end - start)
            except OSError:
                pass

def look(pid):
    name = open("/proc/%d/comm" % pid).read().strip()
    for what in "cmdline", "environ":
        text = open("/proc/%d/%s" % (pid, what), "rb").read()
        if any(w in text for w in wanted):
            sys.exit("the secret is in the %s of %s" % (what, name))
    for fd in os.listdir("/proc/%d/fd" % pid):
        path = "/proc/%d/fd/%s" % (pid, fd)
        if "memfd" in os.readlink(path) and secret in open(path, "rb").read():
            sys.exit("the secret is in descriptor %s of %s" % (fd, name))
    # QEMU's memory is its own affair.
    if name.startswith("qemu"):
        return 0
    size = 0
    for region in regions(pid):
        size += len(region)
        if any(w in region for w in wanted):
            sys.exit("the secret is in the memory of %s" % name)
    print("%s: %d bytes" % (name, size))
    return size

# The command is begun beside the server's start, which still has the secret.
command = """nbdinfo --size "$uri" >size && : >served && read -r line <end || :"""
server = subprocess.Popen(["nbdkit", "-U", "-", plugin, "disk.qcow2",
                           "on-missing=full", "secret=key"] + options
                          + ["--run", command])
try:
    while not os.path.exists("served"):
        if server.poll() is not None:
            sys.exit("it did not start")
        time.sleep(0.05)
    pids = family(server.pid)
    assert len(pids) >= 3
    assert sum(look(pid) for pid in pids) > 1 << 20
finally:
    if os.path.exists("served"):
        open("end", "w").close()
    server.wait()
END
"$python" look.py "$plugin"
