# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A small and correct NBD server, which misbehaves at one place as a row of
# rogue_faults.py says.  It speaks in steps, and at the fault's step hands over
# what it would send: `do` gives the bytes to send instead (one string, or
# several, one after another), None for none.
#
#   fault["step"]     where: accept, greeting, options, starttls, tls, structured,
#                     list, set, go, requests, read, status
#   fault["do"]       do(session, message)
#   fault["conns"]    which connections, by number: all, if not told
#   fault["where"]    the part of the disk whose requests are meant
#   fault["after"]    so many messages of that step are sent as they should on
#                     each connection; after_all: on all together
#   fault[…]          settings: see DEFAULTS

import os
import socket
import ssl
import struct
import threading
import time

from rogue_wire import *

DEFAULTS = {"size": SIZE, "flags": HAS_FLAGS | READ_ONLY | MULTI_CONN,
            "structured": True, "tls": False, "tcp": False, "delay": 0,
            "names": [ALLOCATION, MONDAY, TUESDAY], "status_limit": SIZE,
            "block_size": None, "listens": True}


class Hangup(Exception):
    """The connection ends here."""


class Message:
    """What is about to be sent: parts, of which each is a whole reply or
    chunk, and what it answers."""

    def __init__(self, parts, option=0, data=b"", cookie=0, offset=0, count=0,
                 contexts=()):
        self.parts, self.option, self.data = parts, option, data
        self.cookie, self.offset, self.count = cookie, offset, count
        self.contexts = contexts

    @property
    def bytes(self):
        return b"".join(self.parts)


class Session:
    """One connection."""

    def __init__(self, server, conn, index):
        self.server, self.conn, self.index = server, conn, index
        self.fault = server.fault
        self.chosen, self.structured = [], False
        self.seen = 0                   # messages of the fault's step

    def setting(self, name):
        return self.fault.get(name, DEFAULTS[name])

    # What faults are made of.

    def stall(self):
        """Say nothing until all is over."""
        self.server.over.wait()
        raise Hangup

    def pause(self, seconds):
        if self.server.over.wait(seconds):
            raise Hangup

    def reset(self):
        """End the connection with a reset, not in good order."""
        self.conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        raise Hangup

    def receive(self, count):
        data = b""
        while len(data) < count:
            got = self.conn.recv(min(count - len(data), MIB))
            if not got:
                raise Hangup
            data += got
        return data

    # Speaking.

    def is_meant(self, step, message):
        fault = self.fault
        if fault["step"] != step:
            return False
        if self.index not in fault.get("conns", range(2 ** 32)):
            return False
        start, end = fault.get("where", (0, 2 ** 64))
        if step in ("read", "status") \
                and (message.offset >= end
                     or message.offset + message.count <= start):
            return False
        self.seen += 1
        self.server.seen += 1
        return self.seen > fault.get("after", 0) \
            and self.server.seen > fault.get("after_all", 0)

    def send(self, step, message):
        if step in ("read", "status") and self.setting("delay"):
            self.pause(self.setting("delay"))
        if not self.is_meant(step, message):
            for part in message.parts:
                self.conn.sendall(part)
            return
        self.server.hits += 1
        parts = self.fault["do"](self, message)
        for part in [parts] if isinstance(parts, bytes) else parts or []:
            self.conn.sendall(part)

    def run(self):
        try:
            self.send("accept", Message([]))
            self.negotiate()
            while True:
                self.answer()
        except (Hangup, OSError, ssl.SSLError, ValueError):
            pass
        finally:
            self.conn.close()
            self.server.ended(self)

    def negotiate(self):
        self.send("greeting", Message([GREETING + struct.pack(">H", 3)]))
        self.zeroes = not self.receive(4)[3] & 2
        self.send("options", Message([]))
        going = True
        while going:
            magic, option, length = struct.unpack(">QII", self.receive(16))
            if magic != OPTION_MAGIC:
                raise Hangup
            going = self.option(option, self.receive(length))

    def option(self, option, data):
        """False when it was the last one."""
        step, replies = {
            OPT_STARTTLS: ("starttls", self.starttls),
            OPT_STRUCTURED: ("structured", self.structured_replies),
            OPT_LIST_META: ("list", self.meta), OPT_SET_META: ("set", self.meta),
            OPT_INFO: ("go", self.go), OPT_GO: ("go", self.go),
            OPT_EXPORT_NAME: ("export-name", self.export_name),
        }.get(option, ("other", self.unknown))
        self.send(step, Message(replies(option, data), option, data))
        if option == OPT_ABORT:
            raise Hangup
        if option == OPT_STARTTLS and self.setting("tls"):
            self.send("tls", Message([]))
            self.conn = self.server.tls.wrap_socket(self.conn,
                                                    server_side=True)
            self.send("tls-options", Message([]))
        return option not in (OPT_GO, OPT_EXPORT_NAME)

    def unknown(self, option, data):
        return [reply(option, REP_ACK if option == OPT_ABORT
                      else ERRORS["UNSUP"])]

    def starttls(self, option, data):
        return [reply(option, REP_ACK if self.setting("tls")
                      else ERRORS["UNSUP"])]

    def structured_replies(self, option, data):
        self.structured = self.setting("structured")
        return [reply(option, REP_ACK if self.structured
                      else ERRORS["UNSUP"])]

    def meta(self, option, data):
        # The export's name stands first; queries are namespaces or names.
        length, = struct.unpack(">I", data[:4])
        count, = struct.unpack(">I", data[4 + length:8 + length])
        rest, queries = data[8 + length:], []
        for _ in range(count):
            length, = struct.unpack(">I", rest[:4])
            queries.append(rest[4:4 + length])
            rest = rest[4 + length:]
        listing = option == OPT_LIST_META
        found = [name for name in self.setting("names")
                 if name in queries or listing
                 and (not queries or BITMAP in queries and BITMAP in name)]
        if not listing:
            self.chosen = found
        return [reply(option, REP_META, u32(CONTEXTS[name][0]) + name)
                for name in found] + [reply(option, REP_ACK)]

    def export_name(self, option, data):
        """What clients fall back to that get no answer to GO."""
        return [struct.pack(">QH", self.setting("size"),
                            self.setting("flags"))
                + bytes(124 if self.zeroes else 0)]

    def go(self, option, data):
        size, flags = self.setting("size"), self.setting("flags")
        replies = [reply(option, REP_INFO,
                         struct.pack(">HQH", INFO_EXPORT, size, flags))]
        if self.setting("block_size"):
            replies.append(reply(option, REP_INFO, struct.pack(
                ">H3I", INFO_BLOCK_SIZE, *self.setting("block_size"))))
        return replies + [reply(option, REP_ACK)]

    # Requests.

    def answer(self):
        self.send("requests", Message([]))
        _, _, kind, cookie, offset, count = struct.unpack(
            ">IHHQQI", self.receive(28))
        if kind == READ:
            if self.structured:
                parts = [chunk(cookie, OFFSET_DATA,
                               u64(offset) + contents(offset, count), DONE)]
            else:
                parts = [simple(cookie, 0, contents(offset, count))]
            self.send("read", Message(parts, cookie=cookie, offset=offset,
                                      count=count))
        elif kind == STATUS and self.chosen:
            told = min(count, self.setting("status_limit"))
            parts = [chunk(cookie, BLOCK_STATUS,
                           descriptor(name, offset, told),
                           DONE if name == self.chosen[-1] else 0)
                     for name in self.chosen]
            self.send("status", Message(parts, cookie=cookie, offset=offset,
                                        count=count, contexts=self.chosen))
        elif kind == DISCONNECT:
            raise Hangup
        else:
            self.conn.sendall(simple(cookie, EINVAL))


class RogueServer:
    """Serves one fault, at self.uri, until close()."""

    def __init__(self, fault, folder, name):
        self.fault, self.connections = fault, 0
        self.seen = self.hits = 0       # messages of the fault's step
        self.over = threading.Event()
        self.lock, self.sessions = threading.Lock(), set()
        scheme = "nbd"
        if fault.get("tls"):
            scheme = "nbds"
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain("pki/server-cert.pem",
                                     "pki/server-key.pem")
        query = "tls-certificates=" + os.path.abspath("pki")
        if fault.get("tcp") or fault.get("tls"):
            self.listener = socket.create_server(("127.0.0.1", 0))
            port = self.listener.getsockname()[1]
            self.uri = "%s://127.0.0.1:%d/" % (scheme, port)
            if fault.get("tls"):
                self.uri += "?" + query
        else:
            path = os.path.join(folder, name + ".sock")
            if os.path.exists(path):
                os.unlink(path)
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            self.listener.listen(20)
            self.uri = "nbd+unix:///?socket=" + path
        if fault.get("listens") is False:
            self.listener.close()
        elif fault.get("listens") == "deaf":
            self.hits += 1
        else:
            threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while not self.over.is_set():
            try:
                conn = self.listener.accept()[0]
            except OSError:
                return
            if conn.family == socket.AF_INET:
                conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(self, conn, self.connections)
            with self.lock:
                self.connections += 1
                self.sessions.add(session)
            threading.Thread(target=session.run, daemon=True).start()
            if self.connections >= self.fault.get("accepts", 2 ** 32):
                self.hits += 1
                self.listener.close()

    def ended(self, session):
        with self.lock:
            self.sessions.discard(session)

    def close(self):
        """How often the fault was committed."""
        self.over.set()
        # close() alone does not wake a thread that accepts.
        for end in (lambda: self.listener.shutdown(socket.SHUT_RDWR),
                    self.listener.close):
            try:
                end()
            except OSError:
                pass
        with self.lock:
            sessions = list(self.sessions)
        for session in sessions:
            try:
                session.conn.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        deadline = time.monotonic() + 2
        while self.sessions and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.hits
