/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Reads and block status through a pool.
 */
#include <config.h>

#include <errno.h>
#include <sys/socket.h>

#include "base/error.h"
#include "nbd/check.h"
#include "nbd/connect.h"
#include "nbd/pool-internal.h"
#include "nbd/read.h"

/* As many extents of one context are taken in one answer: twice QEMU's limit
 * (nbd/server.c, NBD_MAX_BLOCK_STATUS_EXTENTS, of 7.2 and 10.0).  What is kept
 * of an export grows with it.
 */
#define EXTENTS_LIMIT (256 * 1024)
/* QEMU's longest answer, of two contexts. */
#define STATUS_BYTES (2 * 1024 * 1024)

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

/* What has become of a request. */
typedef struct {
  NbdRead read;                 /* first: callbacks are given it */
  gint64 begun;                 /* before it was sent: monotonic, microseconds */
  guint32 bytes;                /* that may come */
  bool done;
  int errnum;
} Asked;

/* An NbdReadEnded. */
static void
read_ended (NbdRead *read, int errnum)
{
  Asked *asked = (Asked *) (void *) read;

  asked->errnum = errnum;
  asked->done = true;
}

static int
status_ended (void *opaque, int *error)
{
  read_ended (opaque, *error);
  return 1;
}

/* Wait for what was asked with the lane's lock held, and give both back. */
static int
finish (NbdPool *pool, NbdLane *lane, gint64 cookie, Asked *asked,
        const char *what, guint64 offset, const NbdBudget *budget,
        GError **error)
{
  int lost, failure = 0;

  if (cookie == -1) {           /* libnbd refused to ask */
    asked->errnum = nbd_errno (EIO);
    lost = nbd_turns_failure (&lane->turns) ? asked->errnum : 0;
  }
  else
    lost = nbd_turns_wait (&lane->turns, &asked->done, budget->deadline);
  if (lost)
    failure = nbd_pool_lose_lane (pool, lane, lost, error);
  g_mutex_unlock (&lane->turns.lock);
  nbd_pool_give_back (pool, lane, asked->bytes);
  if (lost)
    return failure;
  if (cookie != -1)
    nbd_pool_note_answer (pool, g_get_monotonic_time () - asked->begun);
  return asked->errnum
    ? report_refusal (pool, what, offset, asked->read.wrong ? asked->read.wrong
                      : g_strerror (asked->errnum), asked->errnum, error) : 0;
}

/* A lane with its lock held. */
static NbdLane *
take_locked (NbdPool *pool, guint32 bytes, NbdBudget *budget, int *failure)
{
  NbdLane *lane = nbd_pool_take (pool, bytes, budget, failure);

  if (!lane)
    return NULL;
  g_mutex_lock (&lane->turns.lock);
  if (!nbd_turns_failure (&lane->turns))
    return lane;
  /* Another thread has just found the server lost. */
  g_mutex_unlock (&lane->turns.lock);
  nbd_pool_give_back (pool, lane, bytes);
  *failure = nbd_life_is_stopped (pool->life) ? ESHUTDOWN : EIO;
  return NULL;
}

/* At most READ_LIMIT. */
static int
read_part (NbdPool *pool, void *buffer, guint32 count, guint64 offset,
           NbdBudget *budget, GError **error)
{
  int failure;
  NbdLane *lane = take_locked (pool, count, budget, &failure);
  Asked asked = { .bytes = count };

  if (!lane)
    return failure;
  asked.begun = g_get_monotonic_time ();
  const gint64 cookie = nbd_read_begin (&asked.read, lane->turns.nbd, buffer,
                                        count, offset, read_ended);
  failure = finish (pool, lane, cookie, &asked, "read", offset, budget, error);
  nbd_read_clear (&asked.read);
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

static gint64
begin_status (struct nbd_handle *nbd, MapAnswer *answer,
              nbd_completion_callback completed)
{
  answer->fd = nbd_aio_get_fd (nbd);
  return nbd_aio_block_status (nbd, answer->length, answer->offset,
                               (nbd_extent_callback) {
                                 .callback = extents_came,
                                 .user_data = answer }, completed, 0);
}

gint64
nbd_pool_begin_block_status (struct nbd_handle *nbd, MapAnswer *answer)
{
  return begin_status (nbd, answer, NBD_NULL_COMPLETION);
}

int
nbd_pool_block_status (NbdPool *pool, MapAnswer *answer, NbdBudget *budget,
                       GError **error)
{
  int failure;
  NbdLane *lane = take_locked (pool, STATUS_BYTES, budget, &failure);
  Asked asked = { .bytes = STATUS_BYTES };

  if (!lane)
    return failure;
  asked.begun = g_get_monotonic_time ();
  const gint64 cookie
    = begin_status (lane->turns.nbd, answer,
                    (nbd_completion_callback) { .callback = status_ended,
                                                .user_data = &asked });
  return finish (pool, lane, cookie, &asked, "block status", answer->offset,
                 budget, error);
}
