/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The thread that reads ahead, all on one connection of its own: it sends
 * requests as they are wanted, and is seldom woken, as answers come in
 * bulk.  When that connection fails, it ends, and all is read by those who
 * ask for it: the failure may be of a block that nobody asks for.
 */
#include <config.h>

#include <libnbd.h>

#include "nbd-connect.h"
#include "read-ahead-internal.h"

/* The server has the next piece at hand, and no more: what it reads too early
 * is in no cache any more when it sends it.
 */
#define UNANSWERED_LIMIT (2 * PIECE_BYTES)
/* How soon the thread sees that it shall stop while it waits for answers. */
#define POLL_MS 50
/* What nobody takes is forgotten after a while. */
#define IDLE_US (2 * G_USEC_PER_SEC)

typedef struct {
  ReadAhead *ahead;
  struct nbd_handle *nbd;
  guint unanswered;             /* requests */
  guint unanswered_bytes;       /* of pieces that are not all there */
  gint64 heard;                 /* when the server last answered */
} Reader;

typedef struct {
  Reader *reader;
  Piece *piece;
} Request;

static void
finish_piece (Piece *piece, PieceState state)
{
  ReadAhead *ahead = piece->ahead;

  g_mutex_lock (&ahead->lock);
  piece->state = state;
  g_cond_broadcast (&piece->arrived);
  g_mutex_unlock (&ahead->lock);
}

static void
answered (Reader *reader, Piece *piece, bool refused)
{
  piece->refused = piece->refused || refused;
  if (--piece->unanswered > 0)
    return;
  reader->unanswered_bytes -= piece->length;
  finish_piece (piece, piece->refused ? PIECE_FAILED : PIECE_READY);
}

static int
read_completed (void *opaque, int *error)
{
  const Request *request = opaque;

  request->reader->unanswered--;
  request->reader->heard = g_get_monotonic_time ();
  answered (request->reader, request->piece, *error != 0);
  return 1;
}

/* Send what a piece needs.  The last answer may come before this returns. */
static void
begin_piece (Reader *reader, Piece *piece)
{
  const guint n_runs = piece->n_runs;

  if (!piece->buffer)
    piece->buffer = g_malloc (PIECE_BYTES);
  piece->refused = false;
  reader->unanswered_bytes += piece->length;
  piece->unanswered = n_runs;
  if (reader->unanswered == 0)
    reader->heard = g_get_monotonic_time ();
  for (guint i = 0; i < n_runs; i++) {
    const Run run = piece->runs[i];
    Request *request = g_new (Request, 1);
    *request = (Request) { reader, piece };
    reader->unanswered++;
    if (nbd_aio_pread (reader->nbd, piece->buffer + run.at, run.length,
                       run.offset,
                       (nbd_completion_callback) {
                         .callback = read_completed,
                         .user_data = request,
                         .free = g_free },
                       0) == -1) {
      reader->unanswered--;
      answered (reader, piece, true);
    }
  }
}

/* False when the server is gone, or as good as. */
static bool
await_answers (const Reader *reader)
{
  if (nbd_poll (reader->nbd, POLL_MS) == -1
      || nbd_aio_is_dead (reader->nbd) == 1
      || nbd_aio_is_closed (reader->nbd) == 1)
    return false;
  return g_get_monotonic_time () - reader->heard
    < READ_AHEAD_TIMEOUT_MS * G_TIME_SPAN_MILLISECOND;
}

/* Call with the lock held. */
static void
await_work (ReadAhead *ahead)
{
  const gint64 now = g_get_monotonic_time ();

  if (read_ahead_shrink (ahead, now - IDLE_US))
    g_cond_wait (&ahead->work, &ahead->lock);
  else
    g_cond_wait_until (&ahead->work, &ahead->lock, now + IDLE_US);
}

/* Returns when there is nothing to do any more, with the lock not held. */
static void
serve (Reader *reader)
{
  ReadAhead *ahead = reader->ahead;
  bool alive = true;

  g_mutex_lock (&ahead->lock);
  while (alive && !ahead->stop) {
    Piece *piece = reader->unanswered_bytes < UNANSWERED_LIMIT
      ? g_queue_pop_head (&ahead->wanted) : NULL;
    if (!piece && reader->unanswered == 0) {
      await_work (ahead);
      continue;
    }
    if (piece)
      piece->state = PIECE_READING;
    g_mutex_unlock (&ahead->lock);
    if (piece)
      begin_piece (reader, piece);
    else
      alive = await_answers (reader);
    g_mutex_lock (&ahead->lock);
  }
  g_mutex_unlock (&ahead->lock);
}

/* Once libnbd cannot write to buffers any more. */
static void
fail_the_rest (ReadAhead *ahead)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&ahead->lock);

  ahead->ended = true;
  g_queue_clear (&ahead->wanted);
  for (guint i = 0; i < STREAMS; i++)
    for (guint j = 0; j < PIECES; j++) {
      Piece *piece = &ahead->streams[i].pieces[j];
      if (piece->state == PIECE_WANTED || piece->state == PIECE_READING)
        piece->state = PIECE_FAILED;
      g_cond_broadcast (&piece->arrived);
    }
}

gpointer
read_ahead_thread (gpointer data)
{
  ReadAhead *ahead = data;
  Reader reader = { .ahead = ahead, .nbd = nbd_pool_borrow (ahead->pool) };

  if (reader.nbd)
    serve (&reader);
  /* Answers that are on their way would be taken for a broken connection,
   * here or by the server.
   */
  const gint64 deadline
    = g_get_monotonic_time () + NBD_GOODBYE_MS * G_TIME_SPAN_MILLISECOND;
  while (reader.nbd && reader.unanswered > 0
         && g_get_monotonic_time () < deadline && await_answers (&reader))
    ;
  if (reader.nbd && nbd_aio_is_ready (reader.nbd) == 1
      && reader.unanswered == 0)
    nbd_pool_return (ahead->pool, reader.nbd);
  else
    nbd_close (reader.nbd);
  fail_the_rest (ahead);
  return NULL;
}
