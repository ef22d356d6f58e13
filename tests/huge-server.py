# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A disk larger than any that could be made here, for test-far-question.sh and
# test-slow-server.sh.
#
#   huge-server.py SOCKET SIZE START-LENGTH…
#
# Dirty in bitmap monday is what is given, and holds data; all else is a hole.  How
# many block-status requests there were is in the file "asked".  Each is answered after
# so many seconds as the environment says in ANSWERS_AFTER.  Source: the NBD
# protocol, doc/proto.md.

import os, socket, struct, sys, threading, time

PATH, SIZE = sys.argv[1], int(sys.argv[2])
RUNS = [tuple(map(int, run.split("-"))) for run in sys.argv[3:]]
CONTEXTS = {b"base:allocation": (1, 3, 0), b"qemu:dirty-bitmap:monday": (2, 0, 1)}
asked, lock = 0, threading.Lock()


def count():
    global asked
    with lock:
        asked += 1
        with open("asked.new", "w") as file:
            file.write("%d\n" % asked)
        os.rename("asked.new", "asked")


def exactly(conn, n):
    data = b""
    while len(data) < n:
        got = conn.recv(n - len(data))
        if not got:
            raise EOFError
        data += got
    return data


def extents(offset, length, clean, dirty):
    at, end, found = offset, offset + length, b""
    for start, size in RUNS + [(SIZE, 0)]:
        for to, flags in ((min(end, start), clean),
                          (min(end, start + size), dirty)):
            if to > at:
                found += struct.pack(">II", to - at, flags)
                at = to
    return found


def negotiate(conn):
    chosen = []
    conn.sendall(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))
    exactly(conn, 4)
    while True:
        _, option, length = struct.unpack(">8sII", exactly(conn, 16))
        data = exactly(conn, length)

        def reply(kind, text=b""):
            conn.sendall(struct.pack(">QIII", 0x3e889045565a9, option, kind,
                                     len(text)) + text)
        if option in (6, 7):                    # INFO, GO
            reply(3, struct.pack(">HQH", 0, SIZE, 1 | 2 | 256))
        elif option in (9, 10):                 # LIST, SET_META_CONTEXT
            chosen = [name for name in CONTEXTS if name in data] \
                or (list(CONTEXTS) if option == 9 else [])
            for name in chosen:
                reply(4, struct.pack(">I", CONTEXTS[name][0]) + name)
        elif option == 2:
            raise EOFError
        elif option != 8:                       # STRUCTURED_REPLY
            reply(0x80000001)
            continue
        reply(1)
        if option == 7:
            return chosen


def serve(conn):
    try:
        chosen = negotiate(conn)
        while True:
            _, _, kind, cookie, offset, length = struct.unpack(
                ">IHHQQI", exactly(conn, 28))

            def chunk(flags, what, text):
                conn.sendall(struct.pack(">IHHQI", 0x668e33ef, flags, what,
                                         cookie, len(text)) + text)
            if kind == 2:
                return
            if kind == 0:
                chunk(1, 1, struct.pack(">Q", offset) + b"\x55" * length)
            elif kind == 7:
                count()
                time.sleep(float(os.environ.get("ANSWERS_AFTER", 0)))
                for name in chosen:
                    number, clean, dirty = CONTEXTS[name]
                    chunk(name == chosen[-1], 5, struct.pack(">I", number)
                          + extents(offset, length, clean, dirty))
    except (EOFError, OSError):
        pass
    finally:
        conn.close()


listener = socket.socket(socket.AF_UNIX)
listener.bind(PATH + ".new")
listener.listen(40)
os.rename(PATH + ".new", PATH)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],),
                     daemon=True).start()
