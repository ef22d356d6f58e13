/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Requests for what is to be read ahead, and their answers, on a connection
 * that belongs to one reader.  When it fails, all is read by nbd_pool_pread:
 * the failure may be of a block that nobody asks for.
 */
#include <config.h>

#include "nbd/connect.h"
#include "nbd/read-ahead-internal.h"

/* The server has the next piece at hand, and no more: what it reads too early
 * is in no cache any more when it sends it.
 */
#define UNANSWERED_LIMIT (2 * PIECE_BYTES)

/* So long is waited for what comes from a server that is lost, or when we end.
 */
#define SETTLE_LIFE_OVER_MS 100U
/* So long an answer may go on coming, in pieces, to those who do not need it.
 */
#define DRAIN_US G_TIME_SPAN_SECOND

static void
answered (Run *run, bool refused)
{
  Piece *piece = run->piece;
  ReadAhead *ahead = piece->ahead;

  ahead->unanswered--;
  ahead->refused = ahead->refused || refused;
  piece->failed = piece->failed || refused;
  nbd_read_clear (&run->read);
  if (--piece->unanswered > 0)
    return;
  ahead->unanswered_bytes -= piece->length;
  piece->state = piece->failed ? PIECE_FAILED : PIECE_READY;
  piece->came = g_get_monotonic_time ();
}

static void
read_ended (NbdRead *read, bool failed)
{
  answered ((Run *) (void *) ((char *) read - G_STRUCT_OFFSET (Run, read)),
            failed);
}

/* Send what a piece needs.  The last answer may come before this returns. */
static void
begin_piece (ReadAhead *ahead, Piece *piece)
{
  if (!piece->buffer)
    piece->buffer = g_malloc (PIECE_BYTES);
  piece->state = PIECE_READING;
  piece->failed = false;
  piece->unanswered = piece->n_runs;
  ahead->unanswered += piece->n_runs;
  ahead->unanswered_bytes += piece->length;
  for (guint i = 0; i < piece->n_runs; i++) {
    Run *run = &piece->runs[i];
    run->piece = piece;
    if (nbd_read_begin (&run->read, ahead->nbd, piece->buffer + run->at,
                        run->length, run->offset, read_ended) == -1)
      answered (run, true);
  }
}

void
read_ahead_begin_wanted (ReadAhead *ahead)
{
  for (guint i = 0; i < ahead->n; i++) {
    Piece *piece = nth_piece (ahead, i);
    if (ahead->unanswered_bytes >= UNANSWERED_LIMIT)
      return;
    if (piece->state == PIECE_WANTED)
      begin_piece (ahead, piece);
  }
}

/* Give the connection up.  Afterwards libnbd writes to no buffer. */
static void
end (ReadAhead *ahead)
{
  ahead->ended = true;
  nbd_connect_drop (nbd_pool_life (ahead->pool),
                    g_steal_pointer (&ahead->nbd));
  ahead->unanswered = ahead->unanswered_bytes = 0;
  for (guint i = 0; i < PIECES; i++) {
    Piece *piece = &ahead->pieces[i];
    if (piece->state == PIECE_READING)
      for (guint j = 0; j < piece->n_runs; j++)
        nbd_read_clear (&piece->runs[j].read);
    if (piece->state != PIECE_READY)
      piece->state = PIECE_FAILED;
  }
}

static gint64
deadline_in (guint milliseconds)
{
  return g_get_monotonic_time () + milliseconds * G_TIME_SPAN_MILLISECOND;
}

bool
read_ahead_receive (ReadAhead *ahead, int milliseconds)
{
  NbdLife *life = nbd_pool_life (ahead->pool);
  NbdWait wait;

  nbd_life_begin_wait (life, &wait, nbd_aio_get_fd (ahead->nbd),
                       deadline_in (READ_AHEAD_TIMEOUT_MS));
  const int came = nbd_poll (ahead->nbd, milliseconds);
  if (nbd_life_end_wait (life, &wait) || came == -1
      || nbd_aio_is_dead (ahead->nbd) == 1
      || nbd_aio_is_closed (ahead->nbd) == 1) {
    end (ahead);
    return false;
  }
  read_ahead_begin_wanted (ahead);
  return came > 0;
}

/* Wait for something, but not beyond the deadline. */
static void
receive_until (ReadAhead *ahead, gint64 deadline)
{
  const gint64 left = deadline - g_get_monotonic_time ();

  if (left > 0)
    read_ahead_receive (ahead, (int) (left / G_TIME_SPAN_MILLISECOND + 1));
  else
    end (ahead);
}

bool
read_ahead_drain (ReadAhead *ahead, int patience)
{
  const gint64 end = g_get_monotonic_time () + DRAIN_US;

  while (ahead->unanswered > 0 && read_ahead_receive (ahead, patience)
         && g_get_monotonic_time () < end)
    ;
  return ahead->unanswered == 0;
}

void
read_ahead_settle (ReadAhead *ahead, guint milliseconds)
{
  const gint64 deadline = deadline_in (
    nbd_life_is_over (nbd_pool_life (ahead->pool))
    ? MIN (milliseconds, SETTLE_LIFE_OVER_MS) : milliseconds);

  while (ahead->unanswered > 0)
    receive_until (ahead, deadline);
}

void
read_ahead_await (ReadAhead *ahead, const Piece *piece,
                  const NbdBudget *budget)
{
  const gint64 deadline = MIN (deadline_in (READ_AHEAD_TIMEOUT_MS),
                               budget->deadline);

  while (piece->state == PIECE_WANTED || piece->state == PIECE_READING)
    receive_until (ahead, deadline);
}

bool
read_ahead_attend (void *opaque)
{
  ReadAhead *ahead = opaque;

  if (!g_mutex_trylock (&ahead->busy))
    return true;
  atomic_store (&ahead->attended, true);
  if (g_get_monotonic_time () - ahead->used >= ATTENDANT_IDLE_US)
    read_ahead_drain (ahead, ATTENDANT_PATIENCE_MS);
  atomic_store (&ahead->attended, false);
  const bool more = ahead->unanswered > 0;
  g_mutex_unlock (&ahead->busy);
  return more;
}

void
read_ahead_rest (ReadAhead *ahead)
{
  ahead->n = 0;
  if (!read_ahead_drain (ahead, 0))
    return;
  if (ahead->refused)
    end (ahead);
  else if (ahead->nbd)
    nbd_pool_return (ahead->pool, g_steal_pointer (&ahead->nbd));
  for (guint i = 0; i < PIECES; i++)
    g_clear_pointer (&ahead->pieces[i].buffer, g_free);
}
