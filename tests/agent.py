#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
#   agent.py SOCKET LOG FAULT…    a guest's agent that has these faults, and the
#                                 commands that it hears in LOG
#
# silent         says nothing
# leftovers      first says what was meant for another client
# frozen         its file systems are frozen already
# refuses        does not freeze
# none           has nothing to freeze
# dumb           does not answer when it has frozen
# thaws=N        refuses the first N thaws

import json
import os
import socket
import sys

path, log_name = sys.argv[1:3]
faults = dict((fault.split("=") + [""])[:2] for fault in sys.argv[3:])
log = open(log_name, "a", buffering=1)
frozen = "frozen" in faults
refusals = int(faults.get("thaws", 0))


def error(text):
    return {"error": {"class": "GenericError", "desc": text}}


def answer(command, arguments):
    global frozen, refusals
    if command == "guest-sync-delimited":
        return {"return": arguments["id"]}
    if command == "guest-fsfreeze-status":
        return {"return": "frozen" if frozen else "thawed"}
    if command == "guest-fsfreeze-freeze":
        if "refuses" in faults:
            return error("failed to freeze /srv: Operation not supported")
        frozen = "none" not in faults
        return None if "dumb" in faults else {"return": int(frozen)}
    if command == "guest-fsfreeze-thaw":
        if refusals > 0:
            refusals -= 1
            return error("failed to thaw")
        frozen = False
        return {"return": 1}
    return error("unknown command")


listener = socket.socket(socket.AF_UNIX)
listener.bind(path + ".new")
listener.listen(1)
os.rename(path + ".new", path)
while True:
    client, _ = listener.accept()
    if "leftovers" in faults:
        client.sendall(b'{"return": 7}\n{"return"')
    for line in client.makefile("rb"):
        request = json.loads(line.rsplit(b"\xff", 1)[-1])
        log.write(request["execute"] + "\n")
        reply = answer(request["execute"], request.get("arguments", {}))
        if "silent" in faults or reply is None:
            continue
        text = json.dumps(reply).encode() + b"\n"
        if request["execute"] == "guest-sync-delimited":
            text = b"\xff" + text
        client.sendall(text)
