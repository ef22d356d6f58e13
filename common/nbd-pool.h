/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A few connections to one NBD export, shared by many threads.
 */
#ifndef COMMON_NBD_POOL_H
#define COMMON_NBD_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "attendant.h"
#include "nbd-endpoint.h"

typedef struct NbdPool NbdPool;

/* Connect.  All connections are made now and none later, and once one of
 * them is lost, all that is asked of the pool fails with EIO for good: a
 * server that came back might hold another point in time.  endpoint->first,
 * when present, is taken and used.  A server that does not promise
 * multi-conn gets one connection.
 */
NbdPool *nbd_pool_open (NbdEndpoint *endpoint, bool want_zeroes,
                        GError **error);
void nbd_pool_free (NbdPool *pool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (NbdPool, nbd_pool_free)

/* The export's size in bytes; the block sizes it advertises (0: none). */
guint64 nbd_pool_size (const NbdPool *pool);
void nbd_pool_block_size (const NbdPool *pool, uint32_t *minimum,
                          uint32_t *preferred, uint32_t *maximum);

/* Read.  0, or an errno: the server's own for a request it refused, EIO
 * when the connection is lost.  *error is set by the one call that notices
 * the loss, or the first refusal, so that each is logged once.  Any thread.
 */
int nbd_pool_pread (NbdPool *pool, void *buffer, guint32 count,
                    guint64 offset, GError **error);

/* A connection for a caller who sends many requests at once, to be given back
 * by nbd_pool_return or closed; or NULL, when the pool has none to spare just
 * now, or has lost the server.
 */
struct nbd_handle *nbd_pool_borrow (NbdPool *pool);
/* Instead of giving it back: it does not answer, and so the server is lost.
 * Closes it, and returns EIO as nbd_pool_pread.
 */
int nbd_pool_lose (NbdPool *pool, struct nbd_handle *nbd, int errnum,
                   GError **error);
/* Who looks after what is asked for there and not waited for. */
Attendant *nbd_pool_attendant (NbdPool *pool);
void nbd_pool_return (NbdPool *pool, struct nbd_handle *nbd);

/* Is the server still there?  For answers that are known without asking it:
 * 0, or EIO as nbd_pool_pread.  Costs one system call.  A server that was there
 * afterwards was there all the time.
 */
int nbd_pool_check (NbdPool *pool, GError **error);

/* The same, of a moment ago (NBD_POOL_RECENT_US), which mostly costs nothing:
 * for answers that are true whether or not it is there.
 */
#define NBD_POOL_RECENT_US 1000
int nbd_pool_check_recent (NbdPool *pool, GError **error);

/* Called per context with pairs of length (bytes) and flags; contexts of
 * one answer may cover different lengths.  False: this is no valid answer.
 */
typedef bool (*NbdPoolExtents) (void *opaque, const char *context,
                                const uint32_t *entries, size_t count);

/* Block status, once, of at most 4 GiB - 1.  Returns as nbd_pool_pread. */
int nbd_pool_block_status (NbdPool *pool, guint32 count, guint64 offset,
                           NbdPoolExtents extents, void *opaque,
                           GError **error);

/* The same, not waited for, on a borrowed connection.  The cookie for
 * nbd_connect_wait, or -1.
 */
gint64 nbd_pool_begin_block_status (struct nbd_handle *nbd, guint32 count,
                                    guint64 offset, NbdPoolExtents extents,
                                    void *opaque);

#endif /* COMMON_NBD_POOL_H */
