/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Which process serves a connection, and does it survive that we close it?
 * Known of Unix sockets only.  Any thread.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>
#include <glib.h>

/* The name of the Unix socket that was connected to, and the process that
 * listens there (unix(7), SO_PEERCRED; 0: one that this process cannot see).
 * False for all other sockets.
 */
bool nbd_peer_listener (int fd, struct sockaddr_un *name, pid_t *pid);

/* QEMU 7.2 dies, and its guest with it, when a client of an export leaves that
 * runs in an iothread (nbd_blockdev_client_closed; from 8.2 on it does not, as
 * clients are closed in the main loop).  False (EPERM) if that is to be feared
 * of the server; what: its name, for messages.  To be asked while the
 * connection still negotiates, for then it may be closed.  Takes a few seconds
 * at most.
 *
 * True for what is not a Unix socket.  What processes say of themselves is not
 * to be trusted, and nothing is let in by it.
 */
bool nbd_peer_bears_leaving (int fd, const char *what, GError **error);
