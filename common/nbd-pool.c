/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A thread takes a connection, uses it alone, and gives it back: no thread
 * is woken by another on the way of a request.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <libnbd.h>

#include "error.h"
#include "nbd-connect.h"
#include "nbd-pool.h"

/* With fewer, threads wait for one another; more make nothing faster. */
#define CONNECTIONS 8
/* As many are never borrowed. */
#define KEPT 2
/* A server at its limit of clients leaves the next one waiting in silence
 * (qemu-nbd --shared); reading can do without it.
 */
#define EXTRA_TIMEOUT_MS 1000
/* QEMU refuses to read more at once (NBD_MAX_BUFFER_SIZE). */
#define READ_LIMIT (32 * 1024 * 1024)

struct NbdPool {
  char *what;
  Child *server;                /* if it is our own; borrowed */
  guint64 size;
  uint32_t minimum, preferred, maximum;
  Attendant *attendant;
  GMutex lock;                  /* guards what follows */
  GCond freed;
  struct nbd_handle *idle[CONNECTIONS];
  guint n_idle;
  guint n_kept;                 /* idle or in use, but not borrowed */
  int watched_fd;               /* of the first connection, which is never
                                 * borrowed, nor closed unless lost is set
                                 * before */
  bool lost;
  bool refusal_reported;
  _Atomic gint64 checked;       /* when; monotonic, microseconds */
};

static uint32_t
block_size (struct nbd_handle *nbd, int which)
{
  const int64_t size = nbd_get_block_size (nbd, which);

  return size > 0 && size <= UINT32_MAX ? (uint32_t) size : 0;
}

static bool
add_connection (NbdPool *pool, struct nbd_handle *nbd, GError **error)
{
  const int64_t size = nbd_get_size (nbd);

  if (size < 0 || (pool->n_idle > 0 && (guint64) size != pool->size)) {
    error_set (error, EIO, "%s: the server tells two clients two sizes",
               pool->what);
    nbd_close (nbd);
    return false;
  }
  pool->size = (guint64) size;
  pool->minimum = block_size (nbd, LIBNBD_SIZE_MINIMUM);
  pool->preferred = block_size (nbd, LIBNBD_SIZE_PREFERRED);
  pool->maximum = block_size (nbd, LIBNBD_SIZE_MAXIMUM);
  pool->idle[pool->n_idle++] = nbd;
  pool->n_kept++;
  return true;
}

NbdPool *
nbd_pool_open (NbdEndpoint *endpoint, bool want_zeroes, GError **error)
{
  g_autoptr (NbdPool) pool = g_new0 (NbdPool, 1);
  struct nbd_handle *first = g_steal_pointer (&endpoint->first);

  g_mutex_init (&pool->lock);
  g_cond_init (&pool->freed);
  pool->what = g_strdup (endpoint->what);
  pool->attendant = attendant_new ();
  pool->server = endpoint->server;
  if (!first)
    first = nbd_connect_endpoint (endpoint, want_zeroes,
                                  NBD_CONNECT_TIMEOUT_MS, error);
  if (!first || !add_connection (pool, first, error))
    return NULL;
  pool->watched_fd = nbd_aio_get_fd (first);
  if (endpoint->single || nbd_can_multi_conn (first) != 1)
    return g_steal_pointer (&pool);

  for (guint i = 1; i < CONNECTIONS; i++) {
    g_autoptr (GError) refusal = NULL;
    struct nbd_handle *nbd
      = nbd_connect_endpoint (endpoint, want_zeroes, EXTRA_TIMEOUT_MS,
                              &refusal);
    /* A server may let in fewer clients than multi-conn promises. */
    if (!nbd)
      break;
    if (!add_connection (pool, nbd, error))
      return NULL;
  }
  /* Were the server replaced meanwhile, the first would have ended. */
  if (nbd_pool_check (pool, error))
    return NULL;
  return g_steal_pointer (&pool);
}

void
nbd_pool_free (NbdPool *pool)
{
  if (!pool)
    return;
  attendant_free (pool->attendant);
  for (guint i = 0; i < pool->n_idle; i++)
    nbd_connect_close (pool->idle[i]);
  g_mutex_clear (&pool->lock);
  g_cond_clear (&pool->freed);
  g_free (pool->what);
  g_free (pool);
}

guint64
nbd_pool_size (const NbdPool *pool)
{
  return pool->size;
}

void
nbd_pool_block_size (const NbdPool *pool, uint32_t *minimum,
                     uint32_t *preferred, uint32_t *maximum)
{
  *minimum = pool->minimum;
  *preferred = pool->preferred;
  *maximum = pool->maximum;
}

/* NULL when the server is lost. */
static struct nbd_handle *
take (NbdPool *pool)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->lock);

  while (!pool->lost && pool->n_idle == 0)
    g_cond_wait (&pool->freed, &pool->lock);
  return pool->lost ? NULL : pool->idle[--pool->n_idle];
}

static void
give_back (NbdPool *pool, struct nbd_handle *nbd)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->lock);

  pool->idle[pool->n_idle++] = nbd;
  g_cond_signal (&pool->freed);
}

struct nbd_handle *
nbd_pool_borrow (NbdPool *pool)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->lock);

  if (pool->lost || pool->n_kept <= KEPT)
    return NULL;
  for (guint i = pool->n_idle; i-- > 0;) {
    struct nbd_handle *nbd = pool->idle[i];
    if (nbd_aio_get_fd (nbd) == pool->watched_fd)
      continue;
    pool->idle[i] = pool->idle[--pool->n_idle];
    pool->n_kept--;
    return nbd;
  }
  return NULL;
}

Attendant *
nbd_pool_attendant (NbdPool *pool)
{
  return pool->attendant;
}

void
nbd_pool_return (NbdPool *pool, struct nbd_handle *nbd)
{
  g_mutex_lock (&pool->lock);
  pool->n_kept++;
  g_mutex_unlock (&pool->lock);
  give_back (pool, nbd);
}

/* Why the server fails us, to follow errnum's text. */
static char *
reason (NbdPool *pool)
{
  g_autofree char *words = pool->server ? child_says (pool->server) : NULL;

  return words ? g_strconcat (" (", words, ")", NULL) : g_strdup ("");
}

/* Nothing is asked of the server from here on.  Call with the lock held. */
static int
mark_lost (NbdPool *pool, int errnum, GError **error)
{
  if (!pool->lost) {
    g_autofree char *words = reason (pool);
    error_set (error, EIO, "%s: lost the server: %s%s; every read fails from "
               "here on, and this backup must be started again", pool->what,
               g_strerror (errnum), words);
  }
  pool->lost = true;
  atomic_store_explicit (&pool->checked, 0, memory_order_relaxed);
  g_cond_broadcast (&pool->freed);
  return EIO;
}

/* Close a connection that failed: libnbd must not touch the request's
 * buffer any more once its caller returns.
 */
int
nbd_pool_lose (NbdPool *pool, struct nbd_handle *nbd, int errnum,
               GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->lock);

  mark_lost (pool, errnum, error);
  nbd_close (nbd);
  return EIO;
}

int
nbd_pool_check (NbdPool *pool, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->lock);

  if (pool->lost)
    return EIO;
  /* Not POLLIN: under TLS, session tickets may wait there unread. */
  struct pollfd pollfd = { .fd = pool->watched_fd, .events = POLLRDHUP };
  if (poll (&pollfd, 1, 0) != 1)
    return 0;
  return mark_lost (pool, ENOTCONN, error);
}

int
nbd_pool_check_recent (NbdPool *pool, GError **error)
{
  const gint64 now = g_get_monotonic_time ();

  if (now - atomic_load_explicit (&pool->checked, memory_order_relaxed)
      < NBD_POOL_RECENT_US)
    return 0;
  const int failure = nbd_pool_check (pool, error);
  if (!failure)
    atomic_store_explicit (&pool->checked, now, memory_order_relaxed);
  return failure;
}

/* What the server cannot do is said once: a client may try a thousand times. */
static void
report_refusal (NbdPool *pool, const char *what, guint64 offset, int errnum,
                GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->lock);

  if (!pool->refusal_reported) {
    g_autofree char *words = reason (pool);
    error_set (error, errnum, "%s: the server fails the %s at %"
               G_GUINT64_FORMAT ": %s%s%s; later failures of this export are "
               "not logged", pool->what, what, offset, g_strerror (errnum),
               words, pool->server ? "" : ", and its own log tells why");
  }
  pool->refusal_reported = true;
}

/* Wait for the command, and give the connection back if it still works. */
static int
finish (NbdPool *pool, struct nbd_handle *nbd, gint64 cookie,
        const char *what, guint64 offset, GError **error)
{
  NbdAnswer answer = NBD_REFUSED;
  int errnum = 0;

  if (cookie == -1)
    errnum = nbd_get_errno () ? nbd_get_errno () : EIO;
  else
    answer = nbd_connect_wait (nbd, cookie, &errnum);
  if (answer == NBD_UNANSWERED
      || nbd_aio_is_dead (nbd) == 1 || nbd_aio_is_closed (nbd) == 1)
    return nbd_pool_lose (pool, nbd, errnum ? errnum : ENOTCONN, error);
  give_back (pool, nbd);
  if (errnum)
    report_refusal (pool, what, offset, errnum, error);
  return errnum;
}

int
nbd_pool_pread (NbdPool *pool, void *buffer, guint32 count, guint64 offset,
                GError **error)
{
  while (count > 0) {
    const guint32 part = MIN (count, READ_LIMIT);
    struct nbd_handle *nbd = take (pool);
    if (!nbd)
      return EIO;
    const int failure
      = finish (pool, nbd,
                nbd_aio_pread (nbd, buffer, part, offset,
                               NBD_NULL_COMPLETION, 0),
                "read", offset, error);
    if (failure)
      return failure;
    buffer = (char *) buffer + part;
    offset += part;
    count -= part;
  }
  return 0;
}

typedef struct {
  NbdPoolExtents extents;
  void *opaque;
  guint64 offset;               /* what was asked for */
} Forward;

static int
forward_extents (void *data, const char *context, uint64_t offset,
                 uint32_t *entries, size_t count, int *error)
{
  const Forward *forward = data;

  if (*error)
    return -1;
  if (offset == forward->offset
      && forward->extents (forward->opaque, context, entries, count))
    return 0;
  *error = EPROTO;
  return -1;
}

gint64
nbd_pool_begin_block_status (struct nbd_handle *nbd, guint32 count,
                             guint64 offset, NbdPoolExtents extents,
                             void *opaque)
{
  Forward *forward = g_new (Forward, 1);

  *forward = (Forward) { extents, opaque, offset };
  return nbd_aio_block_status (nbd, count, offset,
                               (nbd_extent_callback) {
                                 .callback = forward_extents,
                                 .user_data = forward, .free = g_free },
                               NBD_NULL_COMPLETION, 0);
}

int
nbd_pool_block_status (NbdPool *pool, guint32 count, guint64 offset,
                       NbdPoolExtents extents, void *opaque, GError **error)
{
  struct nbd_handle *nbd = take (pool);

  if (!nbd)
    return EIO;
  return finish (pool, nbd,
                 nbd_pool_begin_block_status (nbd, count, offset, extents,
                                              opaque),
                 "block status", offset, error);
}
