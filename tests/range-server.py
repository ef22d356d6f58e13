# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The files of the current folder over HTTP, in ranges, as QEMU asks for them.
#
#   range-server.py PORT-FILE LOG [CERTIFICATE KEY]
#
# Listens on a free port of 127.0.0.1, which it writes to PORT-FILE.  LOG has a
# line for each request.

import http.server, os, re, ssl, sys, time

port_file, log = sys.argv[1:3]

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, with_body):
        try:
            file = open(os.path.basename(self.path), "rb")
        except OSError:
            self.send_error(404)
            return
        # QEMU (7.2 to 10.0) may wait for ever if the answer is there at once.
        time.sleep(0.02)
        with file:
            size = os.fstat(file.fileno()).st_size
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)",
                                  self.headers.get("Range", ""))
            first, last = 0, size - 1
            if wanted:
                first = int(wanted[1])
                last = min(int(wanted[2] or last), last)
                self.send_response(206)
                self.send_header("Content-Range",
                                 "bytes %d-%d/%d" % (first, last, size))
            else:
                self.send_response(200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(last + 1 - first))
            self.end_headers()
            if with_body:
                file.seek(first)
                self.wfile.write(file.read(last + 1 - first))

    def log_message(self, format, *words):
        with open(log, "a") as f:
            f.write(format % words + "\n")

http.server.ThreadingHTTPServer.request_queue_size = 64
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sys.argv[3:5])
    server.socket = context.wrap_socket(server.socket, server_side=True)
with open(port_file + ".new", "w") as f:
    f.write("%d\n" % server.server_address[1])
os.rename(port_file + ".new", port_file)
server.serve_forever()
