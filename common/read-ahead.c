/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Whom to read ahead for, and what.  A request that is answered by what was
 * read ahead wakes nobody on its way, neither a server nor a thread, which
 * otherwise takes longer than the bytes do.
 */
#include <config.h>

#include <string.h>

#include "read-ahead-internal.h"

/* A reader asks for its next request, or with many under way, for one of the
 * next few.
 */
#define EXPECTED_RUNS 4

ReadAhead *
read_ahead_new (NbdPool *pool, const DirtyMap *map)
{
  ReadAhead *ahead = g_new0 (ReadAhead, 1);

  ahead->pool = pool;
  ahead->map = map;
  g_mutex_init (&ahead->lock);
  g_cond_init (&ahead->work);
  g_queue_init (&ahead->wanted);
  for (guint i = 0; i < STREAMS; i++)
    for (guint j = 0; j < PIECES; j++) {
      ahead->streams[i].pieces[j].ahead = ahead;
      g_cond_init (&ahead->streams[i].pieces[j].arrived);
    }
  return ahead;
}

void
read_ahead_free (ReadAhead *ahead)
{
  if (!ahead)
    return;
  g_mutex_lock (&ahead->lock);
  ahead->stop = true;
  g_cond_signal (&ahead->work);
  g_mutex_unlock (&ahead->lock);
  if (ahead->thread)
    g_thread_join (ahead->thread);
  for (guint i = 0; i < STREAMS; i++)
    for (guint j = 0; j < PIECES; j++) {
      g_free (ahead->streams[i].pieces[j].buffer);
      g_cond_clear (&ahead->streams[i].pieces[j].arrived);
    }
  g_cond_clear (&ahead->work);
  g_mutex_clear (&ahead->lock);
  g_free (ahead);
}

static Piece *
nth_piece (Stream *stream, guint n)
{
  return &stream->pieces[(stream->first + n) % PIECES];
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
is_expected (const ReadAhead *ahead, const Stream *stream, guint64 offset)
{
  Run run = { .offset = stream->next };

  if (offset < stream->next)
    return false;
  for (guint i = 0; i < EXPECTED_RUNS; i++) {
    if (!next_run (ahead->map, run_end (&run), PIECE_BYTES, &run)
        || offset < run.offset)
      return false;
    if (offset < run_end (&run))
      return true;
  }
  return false;
}

/* Did another reader begin behind this one's start, and has it read this?
 * Readers who share the work divide the disk among them (nbdcopy), and go on
 * elsewhere when they come to where another began.
 */
static bool
is_read_by_another (const ReadAhead *ahead, const Stream *stream,
                    guint64 offset)
{
  for (guint i = 0; i < STREAMS; i++) {
    const Stream *other = &ahead->streams[i];
    if (other->from > stream->from && other->from <= offset
        && offset < other->next)
      return true;
  }
  return false;
}

static void
want_piece (ReadAhead *ahead, Stream *stream)
{
  Piece *piece = nth_piece (stream, stream->n);

  piece->n_runs = piece->length = piece->taken = 0;
  while (piece->n_runs < PIECE_RUNS && piece->length < PIECE_BYTES) {
    Run *run = &piece->runs[piece->n_runs];
    if (!next_run (ahead->map, stream->next, PIECE_BYTES - piece->length,
                   run)
        || is_read_by_another (ahead, stream, run->offset))
      break;
    run->at = piece->length;
    piece->length += run->length;
    piece->n_runs++;
    stream->next = run_end (run);
  }
  if (piece->n_runs == 0)
    return;
  piece->state = PIECE_WANTED;
  stream->n++;
  g_queue_push_tail (&ahead->wanted, piece);
  g_cond_signal (&ahead->work);
}

static void
read_on (ReadAhead *ahead, Stream *stream)
{
  guint before;

  if (ahead->ended)
    return;
  if (!ahead->thread)
    ahead->thread = g_thread_try_new ("read-ahead", read_ahead_thread, ahead,
                                      NULL);
  if (!ahead->thread)
    return;
  do {
    before = stream->n;
    if (before < stream->depth)
      want_piece (ahead, stream);
  } while (stream->n > before);
}

static bool
is_at_rest (const Piece *piece)
{
  return piece->users == 0
    && (piece->state == PIECE_READY || piece->state == PIECE_FAILED);
}

/* Forget pieces that were handed out, and those that a reader who is at
 * piece n has left behind.
 */
static void
forget_behind (Stream *stream, guint n)
{
  while (stream->n > 0) {
    const Piece *piece = nth_piece (stream, 0);
    if (!is_at_rest (piece)
        || (piece->taken < piece->length && n <= PIECES / 2))
      break;
    stream->first = (stream->first + 1) % PIECES;
    stream->n--;
    n -= n > 0;
    stream->depth = MIN (stream->depth * 2, PIECES);
  }
}

static bool
forget_all (Stream *stream)
{
  for (guint i = 0; i < stream->n; i++)
    if (!is_at_rest (nth_piece (stream, i)))
      return false;
  stream->n = 0;
  return true;
}

bool
read_ahead_shrink (ReadAhead *ahead, gint64 before)
{
  bool empty = true;

  for (guint i = 0; i < STREAMS; i++) {
    Stream *stream = &ahead->streams[i];
    const bool forgotten = stream->used < before && forget_all (stream);
    for (guint j = 0; j < PIECES; j++) {
      if (forgotten)
        g_clear_pointer (&stream->pieces[j].buffer, g_free);
      empty = empty && !stream->pieces[j].buffer;
    }
  }
  return empty;
}

/* What no stream has read ahead is asked for: it is where a stream goes on,
 * or where a new one may begin, in the place of the longest unused.
 */
static void
note_request (ReadAhead *ahead, guint64 offset, guint64 end)
{
  const gint64 now = g_get_monotonic_time ();
  Stream *oldest = NULL;

  for (guint i = 0; i < STREAMS; i++) {
    Stream *stream = &ahead->streams[i];
    if (stream->used > 0 && is_expected (ahead, stream, offset)) {
      if (is_read_by_another (ahead, stream, offset))
        stream->from = offset;  /* but this reader wants it, too */
      stream->next = end;
      stream->used = now;
      read_on (ahead, stream);
      return;
    }
    if (!oldest || stream->used < oldest->used)
      oldest = stream;
  }
  if (forget_all (oldest)) {
    oldest->from = offset;
    oldest->next = end;
    oldest->used = now;
    oldest->depth = 1;
  }
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

/* Wait until it is there, and copy.  Call with the lock held. */
static bool
take_run (ReadAhead *ahead, Piece *piece, const Run *run, void *buffer,
          guint32 count, guint64 offset)
{
  piece->users++;
  while (piece->state == PIECE_WANTED || piece->state == PIECE_READING)
    g_cond_wait (&piece->arrived, &ahead->lock);
  const bool ready = piece->state == PIECE_READY;
  if (ready) {
    g_mutex_unlock (&ahead->lock);
    memcpy (buffer, piece->buffer + run->at + (offset - run->offset), count);
    g_mutex_lock (&ahead->lock);
  }
  piece->users--;
  piece->taken += count;
  return ready;
}

guint32
read_ahead_take (ReadAhead *ahead, void *buffer, guint32 count,
                 guint64 offset, guint32 *others)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&ahead->lock);
  guint64 before = count;

  for (guint i = 0; i < STREAMS; i++) {
    Stream *stream = &ahead->streams[i];
    for (guint n = 0; n < stream->n; n++) {
      Piece *piece = nth_piece (stream, n);
      const Run *run = find_run (piece, offset, &before);
      if (!run)
        continue;
      count = (guint32) MIN (count, run_end (run) - offset);
      *others = count;
      stream->used = g_get_monotonic_time ();
      const bool taken
        = take_run (ahead, piece, run, buffer, count, offset);
      forget_behind (stream, n);
      read_on (ahead, stream);
      return taken ? count : 0;
    }
  }
  *others = (guint32) before;
  if (!ahead->ended)
    note_request (ahead, offset, offset + before);
  return 0;
}
