/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Questions are asked in order, but where an answer was short: what it left out
 * is asked for in front of what was asked already.
 */
#include <config.h>

#include <errno.h>

#include "nbd/connect.h"
#include "nbd/map-ahead.h"

/* So many slices are asked for ahead at most; QEMU serves 16 requests of a client
 * at once (MAX_NBD_REQUESTS).  And all but the first only where a client waited
 * longer for one than QEMU takes to work it out: it must not keep a guest's QEMU
 * busy without need.
 */
#define AHEAD 8
#define LONG_WAIT_US 500
#define EXTENTS_PER_US 40
/* What that takes of the life's memory: an answer of QEMU's is not longer. */
#define AHEAD_BYTES (1024 * 1024)

/* A slice that was asked for ahead. */
typedef struct {
  MapAnswer answer;
  gint64 cookie;                /* answered or not; -1: nothing was asked */
} Question;

struct MapAhead {
  NbdPool *pool;
  guint64 end;                  /* nothing is asked from here on; 0: for good */
  struct nbd_handle *nbd;       /* borrowed when it is needed; or NULL */
  guint depth;                  /* so many are to be under way, at least 1 */
  /* Those ahead, one in the gap that a short answer left, and one that is being
   * taken in.
   */
  Question questions[AHEAD + 2];
};

static NbdLife *
life_of (const MapAhead *ahead)
{
  return nbd_pool_life (ahead->pool);
}

MapAhead *
map_ahead_new (NbdPool *pool, guint64 end, const MapAnswer *like)
{
  MapAhead *ahead = g_new0 (MapAhead, 1);

  ahead->pool = pool;
  ahead->end = end;
  ahead->depth = 1;
  for (guint i = 0; i < AHEAD + 2; i++) {
    map_answer_init (&ahead->questions[i].answer, like->context, like->depth,
                     like->holes, like->wants_zeroes);
    ahead->questions[i].cookie = -1;
  }
  return ahead;
}

bool
map_ahead_is_under_way (const MapAhead *ahead)
{
  return ahead && ahead->nbd && nbd_aio_in_flight (ahead->nbd) > 0
    && nbd_aio_is_dead (ahead->nbd) != 1;
}

void
map_ahead_receive (MapAhead *ahead, gint64 until)
{
  NbdWait wait;

  if (!map_ahead_is_under_way (ahead))
    return;
  nbd_life_begin_wait (life_of (ahead), &wait, nbd_aio_get_fd (ahead->nbd),
                       until + NBD_PATIENCE_MS * 1000LL);
  while (map_ahead_is_under_way (ahead) && g_get_monotonic_time () < until
         && nbd_poll (ahead->nbd, COLLECTOR_PATIENCE_MS) == 1)
    ;
  nbd_life_end_wait (life_of (ahead), &wait);
}

static guint64
memory_of (const MapAhead *ahead, guint depth)
{
  return (depth - 1) * (guint64) AHEAD_BYTES
    * (ahead->questions[0].answer.wants_zeroes ? 2 : 1);
}

/* Clients wait: have twice as much under way. */
static void
widen (MapAhead *ahead)
{
  const guint depth = MIN (2 * ahead->depth, AHEAD);

  if (nbd_life_take_memory (life_of (ahead), memory_of (ahead, depth)
                            - memory_of (ahead, ahead->depth), 0))
    ahead->depth = depth;
}

/* Ask nothing from here on.  A connection that failed is not given back. */
static void
end (MapAhead *ahead, bool failed)
{
  bool unused = false;

  ahead->end = 0;
  if (!failed)                  /* or the server tells of a broken connection */
    map_ahead_receive (ahead, nbd_deadline_in (NBD_GOODBYE_MS));
  for (guint i = 0; i < AHEAD + 2; i++) {
    unused = unused || ahead->questions[i].cookie != -1;
    ahead->questions[i].cookie = -1;
  }
  if (ahead->nbd && (failed || unused))
    nbd_connect_close (life_of (ahead), ahead->nbd);
  else if (ahead->nbd)
    nbd_pool_return (ahead->pool, ahead->nbd);
  ahead->nbd = NULL;
  nbd_life_return_memory (life_of (ahead), memory_of (ahead, ahead->depth));
  ahead->depth = 1;
}

void
map_ahead_free (MapAhead *ahead)
{
  if (!ahead)
    return;
  end (ahead, false);
  for (guint i = 0; i < AHEAD + 2; i++)
    map_answer_clear (&ahead->questions[i].answer);
  g_free (ahead);
}

/* The question of the slice at offset, or NULL. */
static Question *
find (MapAhead *ahead, guint64 offset)
{
  for (guint i = 0; i < AHEAD + 2; i++) {
    Question *question = &ahead->questions[i];
    if (question->cookie != -1 && question->answer.offset == offset)
      return question;
  }
  return NULL;
}

guint64
map_ahead_gap (const MapAhead *ahead, guint64 offset, guint64 most)
{
  for (guint i = 0; ahead && i < AHEAD + 2; i++) {
    const Question *question = &ahead->questions[i];
    if (question->cookie != -1 && question->answer.offset > offset)
      most = MIN (most, question->answer.offset - offset);
  }
  return most;
}

/* NULL if nothing can be asked. */
static Question *
ask (MapAhead *ahead, guint64 offset, guint64 length)
{
  Question *question = ahead->questions;

  while (question < ahead->questions + AHEAD + 2 && question->cookie != -1)
    question++;
  if (!ahead->nbd)
    ahead->nbd = nbd_pool_borrow (ahead->pool);
  if (!ahead->nbd || question == ahead->questions + AHEAD + 2)
    return NULL;
  map_answer_expect (&question->answer, offset, length, false);
  question->cookie
    = nbd_pool_begin_block_status (ahead->nbd, &question->answer);
  if (question->cookie != -1)
    return question;
  end (ahead, true);
  return NULL;
}

void
map_ahead_ask (MapAhead *ahead, guint64 offset, guint64 wanted, guint64 slice)
{
  for (guint n = 0; ahead && offset < ahead->end
       && (n < ahead->depth || (n < 2 && offset < wanted)); n++) {
    const guint64 most = MIN (slice, ahead->end - offset);
    const Question *question = find (ahead, offset);
    if (!question)
      question = ask (ahead, offset, map_ahead_gap (ahead, offset, most));
    if (!question)
      return;
    offset += question->answer.length;
  }
}

int
map_ahead_await (MapAhead *ahead, guint64 offset, MapAnswer **answer,
                 const NbdBudget *budget, GError **error)
{
  const gint64 began = g_get_monotonic_time ();
  Question *question = ahead ? find (ahead, offset) : NULL;
  int errnum;

  *answer = NULL;
  if (!question)
    return 0;
  const NbdAnswer ended
    = nbd_connect_wait (life_of (ahead), ahead->nbd, question->cookie,
                        budget->deadline, &errnum);
  if (ended == NBD_ANSWERED) {
    *answer = &question->answer;
    if (g_get_monotonic_time () - began
        > LONG_WAIT_US + map_answer_extents (*answer) / EXTENTS_PER_US)
      widen (ahead);
    return 0;
  }
  struct nbd_handle *silent = errnum == ETIMEDOUT || errnum == ESHUTDOWN
    ? g_steal_pointer (&ahead->nbd) : NULL;
  end (ahead, true);
  return silent ? nbd_pool_lose (ahead->pool, silent, errnum, error) : 0;
}

void
map_ahead_forget (MapAhead *ahead, const MapAnswer *answer)
{
  for (guint i = 0; ahead && i < AHEAD + 2; i++)
    if (&ahead->questions[i].answer == answer)
      ahead->questions[i].cookie = -1;
}
