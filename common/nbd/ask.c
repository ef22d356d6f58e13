/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Reads and block status through a pool, each on a connection of its own for as
 * long as it takes.
 */
#include <config.h>

#include <errno.h>
#include <sys/socket.h>

#include "base/error.h"
#include "nbd/check.h"
#include "nbd/connect.h"
#include "nbd/pool-internal.h"
#include "nbd/read.h"

/* QEMU refuses to read more at once (NBD_MAX_BUFFER_SIZE). */
#define READ_LIMIT (32 * 1024 * 1024)
/* As many extents of one context are taken in one answer: twice QEMU's limit
 * (nbd/server.c, NBD_MAX_BLOCK_STATUS_EXTENTS, of 7.2 and 10.0).  What is kept
 * of an export grows with it.
 */
#define EXTENTS_LIMIT (256 * 1024)

/* Returns errnum.  What the server cannot do is said once: a client may try a
 * thousand times.
 */
static int
report_refusal (NbdPool *pool, const char *what, guint64 offset,
                const char *why, int errnum, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->lock);

  if (!pool->refusal_reported) {
    g_autofree char *words = nbd_pool_reason (pool);
    error_set (error, errnum, "%s: the server fails the %s at %"
               G_GUINT64_FORMAT ": %s%s%s; later failures of this export are "
               "not logged", pool->what, what, offset, why, words,
               pool->server ? "" : ", and its own log tells why");
  }
  pool->refusal_reported = true;
  return errnum;
}

/* Wait for the command, and give the connection back if it still works. */
static int
finish (NbdPool *pool, struct nbd_handle *nbd, gint64 cookie,
        const char *what, guint64 offset, const NbdBudget *budget,
        GError **error)
{
  const gint64 begun = g_get_monotonic_time ();
  NbdAnswer answer = NBD_REFUSED;
  int errnum = 0;

  if (cookie == -1)
    errnum = nbd_errno (EIO);
  else
    answer = nbd_connect_wait (pool->life, nbd, cookie, budget->deadline,
                               &errnum);
  if (answer == NBD_UNANSWERED
      || nbd_aio_is_dead (nbd) == 1 || nbd_aio_is_closed (nbd) == 1)
    return nbd_pool_lose (pool, nbd, errnum ? errnum : ENOTCONN, error);
  nbd_pool_give_back (pool, nbd);
  if (cookie != -1)             /* or libnbd refused to ask */
    nbd_pool_note_answer (pool, g_get_monotonic_time () - begun);
  return errnum ? report_refusal (pool, what, offset, g_strerror (errnum),
                                  errnum, error) : 0;
}

/* At most READ_LIMIT. */
static int
read_part (NbdPool *pool, void *buffer, guint32 count, guint64 offset,
           NbdBudget *budget, GError **error)
{
  int failure;
  struct nbd_handle *nbd = nbd_pool_take (pool, budget, &failure);
  NbdRead read;

  if (!nbd)
    return failure;
  const gint64 cookie
    = nbd_read_begin (&read, nbd, buffer, count, offset, NULL);
  failure = finish (pool, nbd, cookie, "read", offset, budget, error);
  if (!failure && !nbd_read_is_whole (&read))
    failure = report_refusal (pool, "read", offset, read.wrong ? read.wrong
                              : "an answer that is not whole", EIO, error);
  nbd_read_clear (&read);
  return failure;
}

int
nbd_pool_pread (NbdPool *pool, void *buffer, guint32 count, guint64 offset,
                NbdBudget *budget, GError **error)
{
  while (count > 0) {
    const guint32 part = MIN (count, READ_LIMIT);
    const int failure = read_part (pool, buffer, part, offset, budget, error);
    if (failure)
      return failure;
    buffer = (char *) buffer + part;
    offset += part;
    count -= part;
  }
  return 0;
}

static int
extents_came (void *opaque, const char *context, uint64_t offset,
              uint32_t *entries, size_t count, int *error)
{
  MapAnswer *answer = opaque;

  if (*error)
    return -1;
  /* libnbd has taken up to 64 MiB of memory for it, and would again. */
  if (count / 2 > EXTENTS_LIMIT)
    shutdown (answer->fd, SHUT_RDWR);
  else if (offset == answer->offset
           && map_answer_keep (answer, context, entries, count))
    return 0;
  *error = EPROTO;
  return -1;
}

gint64
nbd_pool_begin_block_status (struct nbd_handle *nbd, MapAnswer *answer)
{
  answer->fd = nbd_aio_get_fd (nbd);
  return nbd_aio_block_status (nbd, answer->length, answer->offset,
                               (nbd_extent_callback) {
                                 .callback = extents_came,
                                 .user_data = answer },
                               NBD_NULL_COMPLETION, 0);
}

int
nbd_pool_block_status (NbdPool *pool, MapAnswer *answer, NbdBudget *budget,
                       GError **error)
{
  int failure;
  struct nbd_handle *nbd = nbd_pool_take (pool, budget, &failure);

  if (!nbd)
    return failure;
  return finish (pool, nbd, nbd_pool_begin_block_status (nbd, answer),
                 "block status", answer->offset, budget, error);
}
