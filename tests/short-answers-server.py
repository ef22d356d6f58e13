# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A server that breaks the protocol, which no real one can be made to do, for
# test-short-answers.sh.
#
#   short-answers-server.py SOCKET SIZE WHOLE
#
# All is dirty in bitmap monday.  Block n of 64 KiB is full of n + 1.  Beyond
# WHOLE, it sends the first half of what is asked for, and says that this is all;
# from the middle of that on, all of it, and then an error.  Source: the NBD
# protocol, doc/proto.md.

import os, socket, struct, sys, threading

PATH, SIZE, WHOLE = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
BLOCK = 65536
CONTEXTS = {b"base:allocation": (1, 0), b"qemu:dirty-bitmap:monday": (2, 1)}
OPT_ABORT, OPT_LIST_META, OPT_SET_META = 2, 9, 10
OPT_INFO, OPT_GO, OPT_STRUCTURED = 6, 7, 8
REP_ACK, REP_INFO, REP_META, REP_UNSUPPORTED = 1, 3, 4, 0x80000001
HAS_FLAGS, READ_ONLY, MULTI_CONN = 1, 2, 256
READ, DISCONNECT, BLOCK_STATUS = 0, 2, 7
DONE, OFFSET_DATA, STATUS, ERROR = 1, 1, 5, 32769
EIO = 5

def exactly(conn, count):
    data = b""
    while len(data) < count:
        got = conn.recv(count - len(data))
        if not got:
            raise EOFError
        data += got
    return data

def contents(offset, count):
    data = bytearray()
    while len(data) < count:
        at = offset + len(data)
        n = min(count - len(data), BLOCK - at % BLOCK)
        data += bytes([at // BLOCK % 255 + 1]) * n
    return bytes(data)

def negotiate(conn):
    """The contexts chosen."""
    chosen = []
    conn.sendall(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))
    exactly(conn, 4)
    while True:
        _, option, length = struct.unpack(">8sII", exactly(conn, 16))
        data = exactly(conn, length)
        def reply(kind, text=b""):
            conn.sendall(struct.pack(">QIII", 0x3e889045565a9, option, kind,
                                     len(text)) + text)
        if option in (OPT_INFO, OPT_GO):
            reply(REP_INFO, struct.pack(">HQH", 0, SIZE,
                                        HAS_FLAGS | READ_ONLY | MULTI_CONN))
        elif option in (OPT_LIST_META, OPT_SET_META):
            found = [name for name in CONTEXTS if name in data] \
                or (list(CONTEXTS) if option == OPT_LIST_META else [])
            for name in found:
                reply(REP_META, struct.pack(">I", CONTEXTS[name][0]) + name)
            if option == OPT_SET_META:
                chosen = found
        elif option not in (OPT_STRUCTURED, OPT_ABORT):
            reply(REP_UNSUPPORTED)
            continue
        reply(REP_ACK)
        if option == OPT_GO:
            return chosen
        if option == OPT_ABORT:
            raise EOFError

def serve(conn):
    try:
        chosen = negotiate(conn)
        while True:
            _, _, kind, cookie, offset, count = struct.unpack(
                ">IHHQQI", exactly(conn, 28))
            def chunk(flags, kind, text):
                conn.sendall(struct.pack(">IHHQI", 0x668e33ef, flags, kind,
                                         cookie, len(text)) + text)
            if kind == DISCONNECT:
                return
            if kind == READ:
                fails = offset >= (WHOLE + SIZE) // 2
                short = not fails and offset + count > WHOLE
                chunk(0 if fails else DONE, OFFSET_DATA,
                      struct.pack(">Q", offset)
                      + contents(offset, count // 2 if short else count))
                if fails:
                    chunk(DONE, ERROR, struct.pack(">IH", EIO, 0))
            elif kind == BLOCK_STATUS:
                for name in chosen:
                    chunk(DONE if name == chosen[-1] else 0, STATUS,
                          struct.pack(">III", CONTEXTS[name][0], count,
                                      CONTEXTS[name][1]))
    except (EOFError, OSError):
        pass
    finally:
        conn.close()

listener = socket.socket(socket.AF_UNIX)
listener.bind(PATH + ".new")
listener.listen(20)
os.rename(PATH + ".new", PATH)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],),
                     daemon=True).start()
