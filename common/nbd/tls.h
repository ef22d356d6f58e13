/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * nbds: over TCP, with a bound.  libnbd's own nbd_aio_connect_uri goes on
 * within the call as far as the server has answered, into the TLS handshake,
 * too, which it then tries again and again, under its lock, until the server
 * goes on (libnbd 1.14, generator/states-newstyle-opt-starttls.c).
 */
#pragma once

#include <stdbool.h>
#include <glib.h>
#include <libnbd.h>

#include "nbd/life.h"

/* Is it a URI that nbd_tls_connect is for?  What is malformed is left to
 * libnbd, which says so.
 */
bool nbd_tls_is_for (const char *uri);

/* Connect nbd, which is new, to uri, as nbd_aio_connect_uri would, but let it
 * read nothing yet: nbd_handshake (handshake.h) comes next.  No parameter of
 * the URI makes libnbd verify less.  The deadline (monotonic, microseconds) and
 * being told to end cut it short, but for the look-up of the host's name.
 * 0, or an errno; ENODATA: the host has no address.
 */
int nbd_tls_connect (struct nbd_handle *nbd, const char *uri,
                     const NbdLife *life, gint64 deadline);
