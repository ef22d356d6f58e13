/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Reach a socket of QEMU's by its path, however long that is.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

/* A connection to the socket at path, which closes on exec; -1 with ENOENT,
 * EACCES, ENOTSOCK, ECONNREFUSED (nobody listens), or EBUSY: so many wait for it
 * that it cannot be asked.  What is written to it is given up after a while.
 * what: "the monitor", for messages.
 */
int dial_socket (const char *what, const char *path, GError **error);

/* True once there is something to read, or the other side has hung up. */
bool dial_wait (int fd, guint milliseconds);
