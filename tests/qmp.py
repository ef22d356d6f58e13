#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
#   qmp.py SOCKET COMMAND [ARGUMENTS]   one command; prints what it returns
#   qmp.py SOCKET --hold                hold the monitor until standard input ends
#   qmp.py SOCKET --state               print all of the block layer that somebody
#                                       could have left or changed
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


def known(command, arguments=None):
    """What it returns; nothing of what a storage daemon has not."""
    try:
        return execute(command, arguments)
    except SystemExit:
        return []


def state():
    """Nodes, what stands on what and with which rights, bitmaps, jobs…"""
    graph = execute("x-debug-query-block-graph")
    name = {node["id"]: "%s %s" % (node["type"], node["name"])
            for node in graph["nodes"]}
    for edge in graph["edges"]:
        yield "edge", name[edge["parent"]], edge["name"], name[edge["child"]], \
            sorted(edge["perm"]), sorted(edge["shared-perm"])
    for node in execute("query-named-block-nodes", {"flat": True}):
        yield "node", node["node-name"], node["drv"], node["file"], node["ro"], \
            node["cache"], node["detect_zeroes"]
        for bitmap in node.get("dirty-bitmaps", []):
            # Those within a job have no name.
            yield "bitmap", node["node-name"], bitmap.get("name"), \
                {key: bitmap[key] for key in
                 ("recording", "busy", "persistent", "granularity")}
    for device in known("query-block"):
        yield "device", device["device"], device.get("qdev"), \
            device.get("inserted", {}).get("node-name")
    for query in ("query-block-exports", "query-jobs", "query-chardev",
                  "query-iothreads"):
        for one in known(query):
            yield query, {key: one[key] for key in one
                          if key not in ("current-progress", "thread-id",
                                         "filename", "frontend-open")}
    yield ("objects", sorted(one["name"] for one in
                             known("qom-list", {"path": "/objects"})))


stream.readline()
execute("qmp_capabilities")
if sys.argv[2] == "--hold":
    print("held", flush=True)
    sys.stdin.read()
elif sys.argv[2] == "--state":
    print("\n".join(sorted(json.dumps(line) for line in state())))
else:
    answer = execute(sys.argv[2], json.loads((sys.argv[3:] or ["{}"])[0]))
    print(json.dumps(answer))
