# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
import sys
import time

import nbd


def first_byte(server, path, export):
    """Reads it as soon as the server, which is just starting, lets us."""
    while True:
        client = nbd.NBD()
        client.set_export_name(export)
        try:
            client.connect_unix(path)
            break
        except nbd.Error:
            if server.poll() is not None:
                sys.exit("nbdkit did not start")
            time.sleep(0.001)
    client.pread(1, 0)
    return client
