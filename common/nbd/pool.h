/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A few connections to one NBD export, shared by many threads.  All functions
 * may be called from any thread, but for open and free.
 *
 * What is asked returns 0 or an errno: the server's own for a request it
 * refused, EIO when the connection is lost or the answer breaks the protocol,
 * ETIMEDOUT when the budget is used up, ESHUTDOWN when we are told to end.
 * *error is set by the one call that notices the loss, or the first refusal, so
 * that each is logged once.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "nbd/collector.h"
#include "nbd/endpoint.h"
#include "nbd/map-answer.h"

typedef struct NbdPool NbdPool;

/* Make the first connection.  The others are made at once, and where threads may
 * be started (further.h), they join later; none is made anew.  Once one is lost,
 * endpoint->life is over, and all that is asked of any pool that shares it fails
 * for good, as a server that came back might hold another point in time.  This
 * fails, too, if a server that was connected before is gone.  endpoint->first,
 * when present, is taken and used.  A server that does not promise multi-conn
 * gets one connection.
 */
NbdPool *nbd_pool_open (NbdEndpoint *endpoint, bool want_zeroes,
                        GError **error);
void nbd_pool_free (NbdPool *pool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (NbdPool, nbd_pool_free)
/* One more who will free it; it is gone with the last.  Returns it. */
NbdPool *nbd_pool_share (NbdPool *pool);

/* The export's size in bytes; the block sizes it advertises (0: none). */
guint64 nbd_pool_size (const NbdPool *pool);
void nbd_pool_block_size (const NbdPool *pool, uint32_t *minimum,
                          uint32_t *preferred, uint32_t *maximum);

/* How long the way to the server and back is, in microseconds: no answer to
 * nbd_pool_pread and nbd_pool_block_status took less.  0: there was none.
 */
gint64 nbd_pool_round_trip (const NbdPool *pool);

/* What holes mean there. */
NbdHoles nbd_pool_holes (const NbdPool *pool);

/* The life that it shares. */
NbdLife *nbd_pool_life (const NbdPool *pool);

int nbd_pool_pread (NbdPool *pool, void *buffer, guint32 count,
                    guint64 offset, NbdBudget *budget, GError **error);

/* Block status, once, of what the answer expects. */
int nbd_pool_block_status (NbdPool *pool, MapAnswer *answer,
                           NbdBudget *budget, GError **error);

/* May what came from the server at that moment (monotonic, microseconds, taken
 * after it came) be handed out?  All that is read through the pool, bytes or
 * the map, is handed out only once this has returned 0.  Waits for the proof,
 * where there has to be one.
 */
int nbd_pool_release (NbdPool *pool, gint64 came, const NbdBudget *budget,
                      GError **error);
/* Who gives the proof; NULL: nobody has to. */
NbdWitness *nbd_pool_witness (const NbdPool *pool);

/* Is the server still there?  For answers that are known without asking it.
 * Costs one system call.  A server that was there afterwards was there all the
 * time.
 */
int nbd_pool_check (NbdPool *pool, GError **error);

/* A connection for a caller who sends many requests at once, to be given back
 * by nbd_pool_return or nbd_pool_lose, or closed.  NULL: the pool has none to
 * spare just now, or has lost the server.
 */
struct nbd_handle *nbd_pool_borrow (NbdPool *pool);
void nbd_pool_return (NbdPool *pool, struct nbd_handle *nbd);
/* It does not answer, and so the server is lost.  Closes it. */
int nbd_pool_lose (NbdPool *pool, struct nbd_handle *nbd, int errnum,
                   GError **error);

/* Receives what is asked for on borrowed connections and not waited for. */
Collector *nbd_pool_collector (NbdPool *pool);

/* Block status on a borrowed connection, not waited for.  Returns the cookie
 * for nbd_connect_wait, or -1.  answer must stay where it is until that has
 * returned or nbd is closed.
 */
gint64 nbd_pool_begin_block_status (struct nbd_handle *nbd,
                                    MapAnswer *answer);
