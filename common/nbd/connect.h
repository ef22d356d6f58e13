/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Connecting to an NBD server, waiting for its answers, and closing.  Each wait
 * has a deadline.  what: how messages call the server.
 */
#pragma once

#include <stdbool.h>
#include <libnbd.h>

#include "nbd/endpoint.h"

#define NBD_GOODBYE_MS 200
#define NBD_CONNECT_TIMEOUT_MS 10000

/* Connect to a URI (as libnbd reads it), and stop before an export is chosen.
 * NULL with ECONNREFUSED and the like when nobody answers within
 * NBD_CONNECT_TIMEOUT_MS.
 */
struct nbd_handle *nbd_connect_look (NbdLife *life, const char *uri,
                                     const char *what, GError **error);

/* The bitmaps offered for the export of a handle from nbd_connect_look, without
 * the context's prefix.  Returns a new array that frees its strings.  E2BIG for
 * more than 10,000: none is left out in silence.
 */
GPtrArray *nbd_connect_bitmaps (NbdLife *life, struct nbd_handle *nbd,
                                const char *what, GError **error);

/* Go on from nbd_connect_look to the export, with base:allocation and the
 * bitmap context (may be NULL).  The export must be read-only: in a writable
 * one, data and bitmap may change while they are read.
 */
bool nbd_connect_go (NbdLife *life, struct nbd_handle *nbd,
                     const char *bitmap_context, const char *what,
                     GError **error);

/* The same, with no bitmap; and what the server says of the export, to be freed
 * with free (), or NULL.  A server may read all of its map to say that.
 */
bool nbd_connect_describe (NbdLife *life, struct nbd_handle *nbd,
                           const char *what, char **description,
                           GError **error);

/* Connect and go, as the endpoint says; base:allocation only if want_zeroes. */
struct nbd_handle *nbd_connect_endpoint (const NbdEndpoint *endpoint,
                                         bool want_zeroes, int timeout_ms,
                                         GError **error);

typedef enum {
  NBD_ANSWERED,                 /* done, *errnum 0 */
  NBD_REFUSED,                  /* done, *errnum is the server's */
  NBD_UNANSWERED,               /* libnbd may still touch the buffer, until
                                 * the handle is closed */
} NbdAnswer;

/* Wait until the command has ended, but not beyond the deadline (monotonic,
 * microseconds; ETIMEDOUT), nor once we are told to end (ESHUTDOWN).
 */
NbdAnswer nbd_connect_wait (NbdLife *life, struct nbd_handle *nbd,
                            gint64 cookie, gint64 deadline, int *errnum);

/* Take leave of the servers, which would log broken connections otherwise, and
 * close.  Waits for at most NBD_GOODBYE_MS in all, and hardly if life is over.
 */
void nbd_connect_close_all (NbdLife *life, struct nbd_handle *const *handles,
                            guint count);
/* The same of one, which may be NULL. */
void nbd_connect_close (NbdLife *life, struct nbd_handle *nbd);

/* Close without taking leave; NULL is fine.  There is no other way to close a
 * connection: one that is held (life.h) stays open where it leads to.
 */
void nbd_connect_drop (NbdLife *life, struct nbd_handle *nbd);
