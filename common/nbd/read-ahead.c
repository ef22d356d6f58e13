/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * While a client takes one answer, the server is already at its next ones, on
 * a connection of that client's own.  The thread that serves the client also
 * receives what is read ahead, just before it is asked for: nobody is woken
 * on the way, and the bytes are still in the processor's cache.
 */
#include <config.h>

#include <string.h>

#include "nbd/read-ahead-internal.h"

/* A reader asks for its next request, or with many under way, for one of the
 * next few.  Of one who then left most of it out, such as one of several who
 * take turns, it must be the very next.
 */
#define EXPECTED_RUNS 4

ReadAhead *
read_ahead_new (NbdPool *pool, const DirtyMap *map)
{
  ReadAhead *ahead = g_new0 (ReadAhead, 1);

  ahead->pool = pool;
  ahead->most = nbd_pool_has_witness (pool) ? PIECES : PIECES_USUAL;
  ahead->map = map;
  g_mutex_init (&ahead->busy);
  for (guint i = 0; i < PIECES; i++)
    ahead->pieces[i].ahead = ahead;
  attendant_add (nbd_pool_attendant (pool), read_ahead_attend, ahead);
  return ahead;
}

static guint64
run_end (const Run *run)
{
  return run->offset + run->length;
}

/* The next dirty run as far as the map is known, of at most `most` bytes, and
 * within one aligned piece, since requests are aligned, too.  Zeroes are not
 * read by those who look at the map.
 */
static bool
next_run (const DirtyMap *map, guint64 offset, guint32 most, Run *run)
{
  const guint64 known = dirty_map_frontier (map);
  guint64 end;

  for (; offset < known; offset = end) {
    if (dirty_map_lookup (map, offset, known, &end) != DIRTY_MAP_DIRTY)
      continue;
    const guint64 border = (offset / PIECE_BYTES + 1) * PIECE_BYTES;
    run->offset = offset;
    run->length = (guint32) MIN (MIN (end, border) - offset, most);
    return true;
  }
  return false;
}

/* Does a request at offset go on where this stream is? */
static bool
is_expected (const ReadAhead *ahead, guint64 offset)
{
  Run run = { .offset = ahead->next };

  if (ahead->depth == 0 || offset < ahead->next)
    return false;
  for (guint i = 0; i < (ahead->leaves_out ? 1 : EXPECTED_RUNS); i++) {
    if (!next_run (ahead->map, run_end (&run), PIECE_BYTES, &run)
        || offset < run.offset)
      return false;
    if (offset < run_end (&run))
      return true;
  }
  return false;
}

void
read_ahead_free (ReadAhead *ahead)
{
  if (!ahead)
    return;
  attendant_remove (nbd_pool_attendant (ahead->pool), ahead);
  ahead->n = 0;
  read_ahead_settle (ahead, READ_AHEAD_GOODBYE_MS);
  read_ahead_rest (ahead);
  g_mutex_clear (&ahead->busy);
  g_free (ahead);
}

static void
want_piece (ReadAhead *ahead)
{
  Piece *piece = nth_piece (ahead, ahead->n);

  piece->n_runs = piece->length = piece->taken = 0;
  while (piece->n_runs < PIECE_RUNS && piece->length < PIECE_BYTES) {
    Run *run = &piece->runs[piece->n_runs];
    if (!next_run (ahead->map, ahead->next, PIECE_BYTES - piece->length,
                   run))
      break;
    run->at = piece->length;
    piece->length += run->length;
    piece->n_runs++;
    ahead->next = run_end (run);
  }
  if (piece->n_runs == 0)
    return;
  piece->state = PIECE_WANTED;
  ahead->n++;
}

static void
read_on (ReadAhead *ahead)
{
  guint before;

  /* A new stream has to wait for what is left of the last; its reader has not,
   * but while it comes, that is the shortest way to read ahead again.
   */
  if (ahead->ended || (ahead->n == 0 && !read_ahead_drain (ahead, 1)))
    return;
  if (!ahead->nbd && !ahead->ended)
    ahead->nbd = nbd_pool_borrow (ahead->pool);
  if (!ahead->nbd)
    return;
  do {
    before = ahead->n;
    if (before < ahead->depth)
      want_piece (ahead);
  } while (ahead->n > before);
  read_ahead_begin_wanted (ahead);
  if (ahead->n == 0)
    read_ahead_rest (ahead);
  else                          /* or the server waits for room in the socket */
    read_ahead_receive (ahead, 0);
}

/* Forget pieces that were handed out, and those that a reader who is at
 * piece n has left behind.  False if most of one was of no use.
 */
static bool
forget_behind (ReadAhead *ahead, guint n)
{
  bool useful = true;

  while (ahead->n > 0) {
    const Piece *piece = nth_piece (ahead, 0);
    if (piece->state == PIECE_WANTED || piece->state == PIECE_READING
        || (piece->taken < piece->length && n <= ahead->most / 2))
      break;
    useful = useful && piece->taken >= piece->length / 4 * 3;
    ahead->first = (ahead->first + 1) % PIECES;
    ahead->n--;
    n -= n > 0;
    ahead->depth = MIN (ahead->depth * 2, ahead->most);
  }
  return useful;
}

/* A stream may begin there. */
static void
begin_anew (ReadAhead *ahead, guint64 next)
{
  read_ahead_rest (ahead);
  ahead->next = next;
  ahead->depth = 1;
}

/* The reader is at piece n, and at that offset. */
static void
go_on (ReadAhead *ahead, guint n, guint64 offset)
{
  if (forget_behind (ahead, n)) {
    read_on (ahead);
    return;
  }
  ahead->leaves_out = true;
  begin_anew (ahead, offset);
}

/* What was not read ahead is asked for: it is where the stream goes on, or
 * where a new one may begin.
 */
static void
note_request (ReadAhead *ahead, guint64 offset, guint64 end)
{
  const guint64 last = ahead->read_to;

  ahead->read_to = end;
  /* A clean gap between what was read ahead. */
  if (ahead->n > 0 && offset >= last && offset < ahead->next)
    return;
  if (!is_expected (ahead, offset)) {
    begin_anew (ahead, end);
    return;
  }
  ahead->next = end;
  go_on (ahead, G_MAXUINT, end);
}

/* The run with this byte in it, or NULL and in *before how far it is to the
 * piece's next run.
 */
static const Run *
find_run (const Piece *piece, guint64 offset, guint64 *before)
{
  for (guint i = 0; i < piece->n_runs; i++) {
    const Run *run = &piece->runs[i];
    if (offset < run->offset) {
      *before = MIN (*before, run->offset - offset);
      return NULL;
    }
    if (offset < run_end (run))
      return run;
  }
  return NULL;
}

static guint32
take (ReadAhead *ahead, void *buffer, guint32 count, guint64 offset,
      guint32 *others, gint64 *came, const NbdBudget *budget)
{
  guint64 before = count;

  for (guint n = 0; n < ahead->n; n++) {
    Piece *piece = nth_piece (ahead, n);
    const Run *run = find_run (piece, offset, &before);
    if (!run)
      continue;
    count = (guint32) MIN (count, run_end (run) - offset);
    *others = count;
    read_ahead_await (ahead, piece, budget);
    const bool ready = piece->state == PIECE_READY;
    if (ready)
      memcpy (buffer, piece->buffer + run->at + (offset - run->offset),
              count);
    piece->taken += count;
    *came = piece->came;
    ahead->read_to = offset + count;
    go_on (ahead, n, offset + count);
    return ready ? count : 0;
  }
  *others = (guint32) before;
  if (!ahead->ended)
    note_request (ahead, offset, offset + before);
  return 0;
}

guint32
read_ahead_take (ReadAhead *ahead, void *buffer, guint32 count,
                 guint64 offset, guint32 *others, gint64 *came,
                 const NbdBudget *budget)
{
  guint32 taken;

  if (!g_mutex_trylock (&ahead->busy)) {
    if (!atomic_load (&ahead->attended))
      return 0;                 /* another thread of this client's */
    g_mutex_lock (&ahead->busy);
  }
  taken = take (ahead, buffer, count, offset, others, came, budget);
  const bool more = ahead->unanswered > 0;
  if (more)
    ahead->used = g_get_monotonic_time ();
  g_mutex_unlock (&ahead->busy);
  if (more)
    attendant_wake (nbd_pool_attendant (ahead->pool));
  return taken;
}

bool
read_ahead_go_on (ReadAhead *ahead, int milliseconds)
{
  if (!g_mutex_trylock (&ahead->busy))
    return false;
  const bool more = ahead->unanswered > 0;
  if (more)
    read_ahead_receive (ahead, milliseconds);
  g_mutex_unlock (&ahead->busy);
  return more;
}
