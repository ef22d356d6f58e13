/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A handshake of which the bytes and the time are bounded, which libnbd's are
 * not: it keeps every meta context that a server names, for ever more of them,
 * and tries its TLS library again and again for 40 s while the server is
 * silent (libnbd 1.14, generator/states-newstyle-opt-*.c).
 *
 * So we stand in between meanwhile.  libnbd's descriptor is made one end of a
 * pair of sockets (dup2), and a thread passes bytes between the other end and
 * the server, as many as allowed, until the time is up.  The pair blocks, so
 * that TLS waits instead of trying.  Afterwards libnbd's descriptor is the
 * server's socket again.
 */
#pragma once

#include <stdbool.h>
#include <libnbd.h>

#include "nbd/life.h"

typedef int (*NbdIsPending) (struct nbd_handle *nbd);

/* Let libnbd go on with what was begun, as long as pending says 1.  At most `most`
 * bytes are taken from the server, and nothing is waited for beyond the deadline
 * (monotonic, microseconds) or once we are told to end.  0, or an errno: ETIMEDOUT,
 * ESHUTDOWN, E2BIG (more bytes), EPROTO (bytes that nobody asked for), EBADMSG (see
 * nbd_go_ahead), or libnbd's own; then the handle is of no use any more.  Its thread
 * has ended when it returns, so it may be called before nbdkit forks.
 */
int nbd_handshake (struct nbd_handle *nbd, NbdIsPending pending,
                   NbdLife *life, gsize most, gint64 deadline);

/* The same, and ask for the export (nbd_aio_opt_go).  ahead: of a server that takes
 * options one after the other, and without TLS, as go-ahead.h says.
 */
int nbd_handshake_go (struct nbd_handle *nbd, bool ahead, NbdLife *life,
                      gsize most, gint64 deadline);
