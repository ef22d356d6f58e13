/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * libnbd keeps its own lock while it polls, which would keep others from
 * sending.  So we poll, and let it only look at what has come.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>

#include "nbd/check.h"
#include "nbd/turns.h"

/* How soon who receives sees what others have changed: an earlier deadline, more
 * to send, a failure.
 */
#define TICK_MS 100

typedef struct {
  GList link;
  GCond woken;
  const bool *done;
  gint64 deadline;
} Turn;

void
nbd_turns_init (NbdTurns *turns, NbdLife *life)
{
  *turns = (NbdTurns) { .life = life };
  g_mutex_init (&turns->lock);
  g_cond_init (&turns->ended);
  g_queue_init (&turns->waiting);
}

void
nbd_turns_clear (NbdTurns *turns)
{
  g_cond_clear (&turns->ended);
  g_mutex_clear (&turns->lock);
}

int
nbd_turns_failure (NbdTurns *turns)
{
  if (!turns->failure
      && (!turns->nbd || nbd_aio_is_dead (turns->nbd) == 1
          || nbd_aio_is_closed (turns->nbd) == 1))
    turns->failure = ENOTCONN;
  return turns->failure;
}

/* The earliest of all who wait. */
static gint64
earliest (const NbdTurns *turns, gint64 deadline)
{
  for (const GList *link = turns->waiting.head; link; link = link->next) {
    const Turn *turn = link->data;
    deadline = MIN (deadline, turn->deadline);
  }
  return deadline;
}

/* Without libnbd's lock, or ours. */
static int
poll_apart (NbdTurns *turns, int milliseconds)
{
  const unsigned direction = nbd_aio_get_direction (turns->nbd);
  struct pollfd pollfd = { .fd = nbd_aio_get_fd (turns->nbd) };

  if (direction & LIBNBD_AIO_DIRECTION_READ)
    pollfd.events |= POLLIN;
  if (direction & LIBNBD_AIO_DIRECTION_WRITE)
    pollfd.events |= POLLOUT;
  turns->receiving = true;
  g_mutex_unlock (&turns->lock);
  const int came = poll (&pollfd, 1, milliseconds);
  g_mutex_lock (&turns->lock);
  turns->receiving = false;
  g_cond_broadcast (&turns->ended);
  return came;
}

/* Those who have their answers; all if nothing more will come. */
static void
wake_done (NbdTurns *turns)
{
  const bool all = nbd_turns_failure (turns) != 0;

  for (GList *link = turns->waiting.head; link; link = link->next) {
    Turn *turn = link->data;
    if (all || *turn->done)
      g_cond_signal (&turn->woken);
  }
}

/* Nobody else receives. */
static int
receive (NbdTurns *turns, int milliseconds, gint64 deadline, bool apart)
{
  NbdWait wait;
  int came = 1;

  nbd_life_begin_wait (turns->life, &wait, nbd_aio_get_fd (turns->nbd),
                       earliest (turns, deadline));
  if (apart)
    came = poll_apart (turns, milliseconds);
  /* Who sent meanwhile may have met its end: libnbd has nothing to say then. */
  if (came > 0 && !nbd_turns_failure (turns)) {
    came = nbd_poll (turns->nbd, apart ? 0 : milliseconds);
    if (came == -1)
      turns->failure = nbd_errno (EIO);
  }
  const int cut = nbd_life_end_wait (turns->life, &wait);
  if (cut)
    turns->failure = cut;
  if (turns->received && came > 0 && !nbd_turns_failure (turns))
    turns->received (turns->opaque);
  wake_done (turns);
  return turns->failure ? -1 : came;
}

int
nbd_turns_receive (NbdTurns *turns, int milliseconds, gint64 deadline)
{
  if (turns->receiving)
    return 0;
  return nbd_turns_failure (turns) ? -1
    : receive (turns, milliseconds, deadline, false);
}

/* Until then, or the next tick. */
static int
ms_until (gint64 deadline)
{
  return MIN (nbd_budget_left (deadline), TICK_MS);
}

int
nbd_turns_wait (NbdTurns *turns, const bool *done, gint64 deadline)
{
  Turn turn = { .done = done, .deadline = deadline };

  g_cond_init (&turn.woken);
  turn.link.data = &turn;
  g_queue_push_tail_link (&turns->waiting, &turn.link);
  while (!*done && !nbd_turns_failure (turns)) {
    if (turns->receiving)
      g_cond_wait_until (&turn.woken, &turns->lock,
                         nbd_deadline_in (TICK_MS));
    else if (nbd_budget_left (earliest (turns, deadline)) == 0)
      turns->failure = ETIMEDOUT;
    else
      receive (turns, ms_until (earliest (turns, deadline)), deadline, true);
  }
  g_queue_unlink (&turns->waiting, &turn.link);
  g_cond_clear (&turn.woken);
  /* Somebody has to receive for those who still wait. */
  Turn *next = g_queue_peek_head (&turns->waiting);
  if (next && !turns->receiving)
    g_cond_signal (&next->woken);
  return nbd_turns_failure (turns);
}

struct nbd_handle *
nbd_turns_take (NbdTurns *turns)
{
  if (!nbd_turns_failure (turns))
    turns->failure = ENOTCONN;
  while (turns->receiving)      /* a tick at most */
    g_cond_wait (&turns->ended, &turns->lock);
  wake_done (turns);
  return g_steal_pointer (&turns->nbd);
}
