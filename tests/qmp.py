#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
#   qmp.py SOCKET COMMAND [ARGUMENTS]   one command; prints what it returns
#   qmp.py SOCKET --hold                hold the monitor until standard input ends
#
# As QEMU lets in the next client only once the last has left, so does this.

import json
import socket
import sys

monitor = socket.socket(socket.AF_UNIX)
monitor.settimeout(30)
monitor.connect(sys.argv[1])
stream = monitor.makefile("rw")


def execute(command, arguments=None):
    stream.write(json.dumps({"execute": command,
                             "arguments": arguments or {}}) + "\n")
    stream.flush()
    while True:
        answer = json.loads(stream.readline())
        if "return" in answer:
            return answer["return"]
        if "error" in answer:
            sys.exit("%s: %s" % (command, answer["error"]["desc"]))


stream.readline()
execute("qmp_capabilities")
if sys.argv[2] == "--hold":
    print("held", flush=True)
    sys.stdin.read()
else:
    answer = execute(sys.argv[2], json.loads((sys.argv[3:] or ["{}"])[0]))
    print(json.dumps(answer))
