/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A thread takes a connection, sends and receives on it, and gives it back: one
 * that no other uses, unless all are in use.  Some may be lent for longer
 * (nbd_pool_borrow).
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <libnbd.h>

#include "base/error.h"
#include "nbd/check.h"
#include "nbd/connect.h"
#include "nbd/pool-internal.h"

/* So many connections are never lent. */
#define KEPT 2
/* How soon a waiting thread notices that life is over. */
#define TICK_US 100000
/* A server that was there so recently is not looked for again. */
#define RECENT_US 1000

static uint32_t
block_size (struct nbd_handle *nbd, int which)
{
  const int64_t size = nbd_get_block_size (nbd, which);

  return size > 0 && size <= UINT32_MAX ? (uint32_t) size : 0;
}

bool
nbd_pool_two_sizes (const NbdPool *pool, GError **error)
{
  nbd_life_end (pool->life);
  return error_set (error, EIO, "%s: the server tells two clients two sizes, so "
                    "what answers now may be another; every read fails from "
                    "here on, and this backup must be started again",
                    pool->what);
}

/* Call with the lock held, or before anybody else knows the pool. */
static void
add_connection (NbdPool *pool, struct nbd_handle *nbd)
{
  NbdLane *lane = &pool->lanes[pool->n_lanes++];

  lane->turns.nbd = nbd;
  lane->state = LANE_OPEN;
}

/* All that is said of the export is the first one's word. */
static bool
add_first (NbdPool *pool, struct nbd_handle *nbd, GError **error)
{
  const int64_t size = nbd_get_size (nbd);

  if (size < 0) {
    nbd_connect_drop (pool->life, nbd);
    return nbd_pool_two_sizes (pool, error);
  }
  pool->size = (guint64) size;
  pool->minimum = block_size (nbd, LIBNBD_SIZE_MINIMUM);
  pool->preferred = block_size (nbd, LIBNBD_SIZE_PREFERRED);
  pool->maximum = block_size (nbd, LIBNBD_SIZE_MAXIMUM);
  pool->watched_fd = nbd_aio_get_fd (nbd);
  nbd_life_add_sign (pool->life, pool->watched_fd);
  add_connection (pool, nbd);
  return true;
}

static NbdPool *
pool_new (const NbdEndpoint *endpoint)
{
  NbdPool *pool = g_new0 (NbdPool, 1);

  g_atomic_ref_count_init (&pool->users);
  g_mutex_init (&pool->lock);
  g_cond_init (&pool->freed);
  pool->what = g_strdup (endpoint->what);
  pool->life = endpoint->life;
  for (guint i = 0; i < CONNECTIONS; i++)
    nbd_turns_init (&pool->lanes[i].turns, endpoint->life);
  pool->witness = endpoint->witness;
  pool->collector = collector_new ();
  pool->server = endpoint->server;
  pool->holes = endpoint->holes;
  pool->watched_fd = -1;
  return pool;
}

/* What was connected now may be another server than what was before. */
static bool
is_same_life (NbdPool *pool, GError **error)
{
  const bool was_over = nbd_life_is_over (pool->life);

  if (!was_over && nbd_life_check (pool->life))
    return true;
  if (was_over || !nbd_life_end (pool->life))
    return error_set (error, EIO, "%s: lost the server, as logged before",
                      pool->what);
  return error_set (error, EIO, "%s: lost the server: it has ended, and what "
                    "answers now may be another; every read fails from here "
                    "on, and this backup must be started again", pool->what);
}

bool
nbd_pool_join (NbdPool *pool, struct nbd_handle *nbd, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->lock);
  const int64_t size = nbd_get_size (nbd);
  const bool was_over = nbd_life_is_over (pool->life);

  if (!was_over && is_same_life (pool, error)) {
    if (size >= 0 && (guint64) size == pool->size) {
      add_connection (pool, nbd);
      return true;
    }
    nbd_pool_two_sizes (pool, error);
  }
  nbd_connect_drop (pool->life, nbd);
  return false;
}

NbdPool *
nbd_pool_open (NbdEndpoint *endpoint, bool want_zeroes, GError **error)
{
  g_autoptr (NbdPool) pool = pool_new (endpoint);
  struct nbd_handle *first = g_steal_pointer (&endpoint->first);

  if (!first)
    first = nbd_connect_endpoint (endpoint, want_zeroes,
                                  NBD_CONNECT_TIMEOUT_MS, error);
  if (!first || !add_first (pool, first, error))
    return NULL;
  if (!endpoint->single && nbd_can_multi_conn (first) == 1) {
    pool->further = further_new (pool, endpoint, want_zeroes);
    if (further_may_join_later (endpoint))
      further_join_later (pool->further);
    else if (!further_join_all (pool->further, error))
      return NULL;
  }
  return is_same_life (pool, error) ? g_steal_pointer (&pool) : NULL;
}

/* Nobody uses any of them. */
static void
close_lanes (NbdPool *pool)
{
  struct nbd_handle *handles[CONNECTIONS];
  guint n = 0;

  for (guint i = 0; i < CONNECTIONS; i++) {
    if (pool->lanes[i].turns.nbd)
      handles[n++] = g_steal_pointer (&pool->lanes[i].turns.nbd);
    nbd_turns_clear (&pool->lanes[i].turns);
  }
  nbd_connect_close_all (pool->life, handles, n);
}

NbdPool *
nbd_pool_share (NbdPool *pool)
{
  g_atomic_ref_count_inc (&pool->users);
  return pool;
}

void
nbd_pool_free (NbdPool *pool)
{
  if (!pool || !g_atomic_ref_count_dec (&pool->users))
    return;
  further_free (pool->further);
  collector_free (pool->collector);
  if (pool->watched_fd >= 0)
    nbd_life_remove_sign (pool->life, pool->watched_fd);
  close_lanes (pool);
  g_cond_clear (&pool->freed);
  g_mutex_clear (&pool->lock);
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

NbdHoles
nbd_pool_holes (const NbdPool *pool)
{
  return pool->holes;
}

NbdLife *
nbd_pool_life (const NbdPool *pool)
{
  return pool->life;
}

/* Call with the lock held.  NULL: all are lost just now. */
static NbdLane *
least_used (NbdPool *pool)
{
  NbdLane *best = NULL;

  for (guint i = pool->n_lanes; i-- > 0 && (!best || best->users > 0);) {
    NbdLane *lane = &pool->lanes[i];
    if (lane->state == LANE_OPEN && (!best || lane->users < best->users))
      best = lane;
  }
  return best;
}

/* Who asks behind too much would take a slow server for a lost one.  What is long
 * itself need not wait for all that is short.
 */
NbdLane *
nbd_pool_take (NbdPool *pool, guint32 bytes, NbdBudget *budget, int *failure)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->lock);

  for (;;) {
    *failure = nbd_life_spend (pool->life, budget);
    if (!*failure && nbd_life_is_over (pool->life))
      *failure = EIO;
    if (*failure)
      return NULL;
    NbdLane *best = least_used (pool);
    if (!best) {
      *failure = EIO;
      return NULL;
    }
    if (best->asked <= READ_LIMIT / 2) {
      best->users++;
      best->asked += bytes;
      return best;
    }
    g_cond_wait_until (&pool->freed, &pool->lock,
                       g_get_monotonic_time () + TICK_US);
  }
}

void
nbd_pool_give_back (NbdPool *pool, NbdLane *lane, guint32 bytes)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->lock);

  lane->users--;
  lane->asked -= bytes;
  g_cond_broadcast (&pool->freed);
}

/* Give the caller, and nobody else, a lane of that state; it is empty then. */
static NbdLane *
claim (NbdPool *pool, LaneState state)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->lock);
  NbdLane *found = NULL;
  guint open = 0;

  for (guint i = 0; i < pool->n_lanes; i++) {
    NbdLane *lane = &pool->lanes[i];
    open += lane->state == LANE_OPEN;
    if (i > 0 && lane->state == state && lane->users == 0)
      found = lane;
  }
  if (state == LANE_OPEN && open <= KEPT)
    return NULL;
  if (found)
    found->state = LANE_EMPTY;
  return found;
}

static void
set_state (NbdPool *pool, NbdLane *lane, LaneState state)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->lock);

  lane->state = state;
}

struct nbd_handle *
nbd_pool_borrow (NbdPool *pool)
{
  NbdLane *lane = nbd_life_is_over (pool->life) ? NULL
    : claim (pool, LANE_OPEN);

  if (!lane)
    return NULL;
  struct nbd_handle *nbd = g_steal_pointer (&lane->turns.nbd);
  set_state (pool, lane, LANE_LENT);
  return nbd;
}

Collector *
nbd_pool_collector (NbdPool *pool)
{
  return pool->collector;
}

void
nbd_pool_return (NbdPool *pool, struct nbd_handle *nbd)
{
  NbdLane *lane = claim (pool, LANE_LENT);

  lane->turns.nbd = nbd;        /* its own, or another's that is still lent */
  lane->turns.failure = 0;
  set_state (pool, lane, LANE_OPEN);
}

char *
nbd_pool_reason (NbdPool *pool)
{
  g_autofree char *words = pool->server ? child_says (pool->server) : NULL;

  return words ? g_strconcat (" (", words, ")", NULL) : g_strdup ("");
}

void
nbd_pool_note_answer (NbdPool *pool, gint64 took)
{
  const gint64 before
    = atomic_load_explicit (&pool->shortest, memory_order_relaxed);

  /* Of two threads that write at once, either's is short enough. */
  if (before == 0 || took < before)
    atomic_store_explicit (&pool->shortest, MAX (took, 1),
                           memory_order_relaxed);
}

gint64
nbd_pool_round_trip (const NbdPool *pool)
{
  return atomic_load_explicit (&pool->shortest, memory_order_relaxed);
}

/* Nothing is asked of the server from here on.  Call with the lock held. */
static int
mark_lost (NbdPool *pool, const char *why, GError **error)
{
  if (nbd_life_is_stopped (pool->life))
    return ESHUTDOWN;           /* no news: it is us who end */
  if (nbd_life_end (pool->life)) {
    g_autofree char *words = nbd_pool_reason (pool);
    error_set (error, EIO, "%s: lost the server: %s%s; every read fails from "
               "here on, and this backup must be started again", pool->what,
               why, words);
  }
  atomic_store_explicit (&pool->checked, 0, memory_order_relaxed);
  g_cond_broadcast (&pool->freed);
  return EIO;
}

static int
note_loss (NbdPool *pool, int errnum, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->lock);
  /* Where the server breaks the protocol, only libnbd's words say how. */
  const bool is_vague = errnum == EIO || errnum == EPROTO || errnum == EINVAL;

  return mark_lost (pool, is_vague ? nbd_check_reason (errnum)
                    : g_strerror (errnum), error);
}

/* Closes at once: libnbd must not touch the request's buffer any more. */
int
nbd_pool_lose (NbdPool *pool, struct nbd_handle *nbd, int errnum,
               GError **error)
{
  const int failure = note_loss (pool, errnum, error);

  nbd_connect_drop (pool->life, nbd);
  return failure;
}

/* Closes before the lane's lock is given up: libnbd must not touch the buffer of
 * any request on it any more.  The loss is known before anything else, as taking
 * may wait, and libnbd has closed what is dead: its descriptor may be another's.
 */
int
nbd_pool_lose_lane (NbdPool *pool, NbdLane *lane, int errnum, GError **error)
{
  const int failure = note_loss (pool, errnum, error);

  set_state (pool, lane, LANE_EMPTY);
  nbd_connect_drop (pool->life, nbd_turns_take (&lane->turns));
  return failure;
}

int
nbd_pool_check (NbdPool *pool, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->lock);

  if (nbd_life_is_over (pool->life))
    return nbd_life_is_stopped (pool->life) ? ESHUTDOWN : EIO;
  /* Not POLLIN: under TLS, session tickets may wait there unread. */
  struct pollfd pollfd = { .fd = pool->watched_fd, .events = POLLRDHUP };
  if (poll (&pollfd, 1, 0) != 1)
    return 0;
  return mark_lost (pool, g_strerror (ENOTCONN), error);
}

/* Was it there a moment ago?  For answers that are true even if it is gone. */
static int
check_recent (NbdPool *pool, GError **error)
{
  const gint64 now = g_get_monotonic_time ();

  if (now - atomic_load_explicit (&pool->checked, memory_order_relaxed)
      < RECENT_US)
    return 0;
  const int failure = nbd_pool_check (pool, error);
  if (!failure)
    atomic_store_explicit (&pool->checked, now, memory_order_relaxed);
  return failure;
}

int
nbd_pool_release (NbdPool *pool, gint64 came, const NbdBudget *budget,
                  GError **error)
{
  const int failure = check_recent (pool, error);

  return failure ? failure : nbd_witness_wait (pool->witness, came, budget);
}

NbdWitness *
nbd_pool_witness (const NbdPool *pool)
{
  return pool->witness;
}
