/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * While a client takes one answer, the server works on its next ones, on a
 * connection of that client's own.  The thread that serves the client receives
 * them just before they are asked for: nobody is woken, and the bytes are still
 * in the processor's cache.
 */
#include <config.h>

#include <stdatomic.h>

#include "nbd/pipeline.h"
#include "nbd/read-ahead.h"

/* QEMU is fastest with some 512 KiB at once.  More pieces only fall out of the
 * processor's caches.  Measured: bench/RESULTS.md.
 */
#define PIECES_USUAL 4
#define PIECE_BYTES (READ_AHEAD_BYTES / PIECES_USUAL)
/* The server has one more piece at hand: what it reads earlier is in no cache
 * any more when it sends it.
 */
#define WINDOW (2 * PIECE_BYTES)
#define PIECES_WITNESSED 16
/* What fills the way to a server is its round trip times what it can send.  How
 * much that is shows only when the way is full: so many bytes a microsecond.
 */
#define SENDS_AT_MOST 1600
/* For as many bytes a millisecond is waited when a client leaves. */
#define SLOWEST 4096

/* A request goes on with a stream if it is for one of its next few runs; of a
 * reader who has left most out, such as one of several who take turns, for the
 * very next.
 */
#define EXPECTED_RUNS 4

struct ReadAhead {
  const DirtyMap *map;
  atomic_bool collecting;       /* busy is held by the collector */
  GMutex busy;                  /* guards what follows */
  Pipeline pipeline;
  gint64 used;                  /* when; monotonic, microseconds */
  guint usual;                  /* pieces, of a server that is near */
  guint lent;                   /* pieces more, of the life's memory */
  guint depth;                  /* so many pieces may be queued; 0: nothing was
                                 * asked for */
  bool leaves_out;              /* it has left out more than it took */
  guint64 read_to;              /* the end of the last request */
  guint64 next;                 /* what follows will be read ahead, or has to
                                 * be asked for to make this a stream */
};

static Collector *
collector_of (const ReadAhead *ahead)
{
  return nbd_pool_collector (ahead->pipeline.pool);
}

/* The depth is at most as much. */
static guint
most (const ReadAhead *ahead)
{
  return ahead->usual + ahead->lent;
}

/* As many pieces more, for which the life's memory has been taken. */
static void
set_lent (ReadAhead *ahead, guint lent)
{
  ahead->lent = lent;
  ahead->pipeline.window = WINDOW + (guint64) lent * PIECE_BYTES;
}

/* What was read ahead was of use: fill the way, as far as there is memory for it.
 */
static void
widen (ReadAhead *ahead)
{
  NbdPool *pool = ahead->pipeline.pool;
  const guint64 fills = (guint64) nbd_pool_round_trip (pool) * SENDS_AT_MOST;
  guint more = (guint) MIN (fills / PIECE_BYTES, PIPELINE_PIECES);

  more = MIN (more, PIPELINE_PIECES - ahead->usual);
  while (more > ahead->lent
         && !nbd_life_take_memory (nbd_pool_life (pool),
                                   (gsize) (more - ahead->lent) * PIECE_BYTES))
    more = (more + ahead->lent) / 2;
  if (more <= ahead->lent)
    return;
  set_lent (ahead, more);
  ahead->depth = MAX (ahead->depth, more / 4);
}

/* Drop what is queued, and give memory and connection back, unless something is
 * in flight, which still needs them: then the collector comes again.
 */
static void
rest (ReadAhead *ahead)
{
  pipeline_rest (&ahead->pipeline);
  if (ahead->pipeline.unanswered > 0)
    return;
  nbd_life_return_memory (nbd_pool_life (ahead->pipeline.pool),
                          (gsize) ahead->lent * PIECE_BYTES);
  set_lent (ahead, 0);
}

static bool
collect (void *opaque)
{
  ReadAhead *ahead = opaque;

  if (!g_mutex_trylock (&ahead->busy))
    return true;
  atomic_store (&ahead->collecting, true);
  if (g_get_monotonic_time () - ahead->used >= COLLECTOR_IDLE_US
      && pipeline_drain (&ahead->pipeline, COLLECTOR_PATIENCE_MS)
      && ahead->pipeline.n == 0)
    rest (ahead);
  atomic_store (&ahead->collecting, false);
  const bool more = ahead->pipeline.unanswered > 0;
  g_mutex_unlock (&ahead->busy);
  return more;
}

ReadAhead *
read_ahead_new (NbdPool *pool, const DirtyMap *map)
{
  ReadAhead *ahead = g_new0 (ReadAhead, 1);

  ahead->pipeline.pool = pool;
  ahead->pipeline.piece_bytes = PIECE_BYTES;
  set_lent (ahead, 0);
  ahead->usual = nbd_pool_witness (pool) ? PIECES_WITNESSED : PIECES_USUAL;
  ahead->map = map;
  g_mutex_init (&ahead->busy);
  collector_add (collector_of (ahead), collect, ahead);
  return ahead;
}

/* The next dirty run as far as the map is known, of at most `most` bytes, and
 * within one aligned piece, since requests are aligned, too.  Zeroes are not
 * read by those who look at the map.
 */
static bool
next_run (const DirtyMap *map, guint64 offset, guint32 most, PipelineRun *run)
{
  const guint64 known = dirty_map_frontier (map);
  guint64 end;

  for (; offset < known; offset = end) {
    if (dirty_map_lookup (map, offset, known, &end) != DIRTY_MAP_DIRTY)
      continue;
    const guint64 border = (offset / PIECE_BYTES + 1) * PIECE_BYTES;
    run->begin = offset;
    run->end = MIN (MIN (end, border), offset + most);
    return true;
  }
  return false;
}

/* Does a request at offset go on where this stream is? */
static bool
is_expected (const ReadAhead *ahead, guint64 offset)
{
  PipelineRun run = { .end = ahead->next };

  if (ahead->depth == 0 || offset < ahead->next)
    return false;
  for (guint i = 0; i < (ahead->leaves_out ? 1 : EXPECTED_RUNS); i++) {
    if (!next_run (ahead->map, run.end, PIECE_BYTES, &run)
        || offset < run.begin)
      return false;
    if (offset < run.end)
      return true;
  }
  return false;
}

void
read_ahead_free (ReadAhead *ahead)
{
  if (!ahead)
    return;
  collector_remove (collector_of (ahead), ahead);
  pipeline_close (&ahead->pipeline, READ_AHEAD_GOODBYE_MS
                  + (guint) (ahead->pipeline.unanswered_bytes / SLOWEST));
  rest (ahead);
  g_mutex_clear (&ahead->busy);
  g_free (ahead);
}

/* False if nothing dirty is known beyond. */
static bool
queue_piece (ReadAhead *ahead)
{
  PipelineRun runs[PIPELINE_RUNS];
  guint32 room = PIECE_BYTES;
  guint n = 0;

  while (n < PIPELINE_RUNS && room > 0
         && next_run (ahead->map, ahead->next, room, &runs[n])) {
    room -= (guint32) (runs[n].end - runs[n].begin);
    ahead->next = runs[n++].end;
  }
  if (n > 0)
    pipeline_push (&ahead->pipeline, runs, n);
  return n > 0;
}

static void
read_on (ReadAhead *ahead)
{
  Pipeline *pipeline = &ahead->pipeline;

  if (!pipeline_open (pipeline))
    return;
  while (pipeline->n < ahead->depth && queue_piece (ahead))
    ;
  if (pipeline->n == 0)
    rest (ahead);
  else                          /* or the server waits for room in the socket */
    pipeline_receive (pipeline, 0);
}

/* Forget pieces that were handed out, or that a reader who is at piece n has
 * left behind.  False if more than a quarter of one was of no use.
 */
static bool
forget_behind (ReadAhead *ahead, guint n)
{
  const PipelinePiece *piece;
  bool useful = true, forgot = false;

  while ((piece = pipeline_first_done (&ahead->pipeline))
         && (piece->taken >= piece->length || n > most (ahead) / 2)) {
    useful = useful && piece->taken >= piece->length / 4 * 3;
    pipeline_pop (&ahead->pipeline);
    n -= n > 0;
    ahead->depth = MIN (ahead->depth * 2, most (ahead));
    forgot = true;
  }
  if (useful && forgot && !ahead->pipeline.ended)
    widen (ahead);
  return useful;
}

/* A stream may begin there. */
static void
begin_anew (ReadAhead *ahead, guint64 next)
{
  rest (ahead);
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

/* What was not read ahead is asked for: the stream goes on there, or a new one
 * may begin.
 */
static void
note_request (ReadAhead *ahead, guint64 offset, guint64 end)
{
  const guint64 last = ahead->read_to;

  ahead->read_to = end;
  /* A clean gap between what was read ahead. */
  if (ahead->pipeline.n > 0 && offset >= last && offset < ahead->next)
    return;
  if (!is_expected (ahead, offset)) {
    begin_anew (ahead, end);
    return;
  }
  ahead->next = end;
  go_on (ahead, G_MAXUINT, end);
}

static guint32
take (ReadAhead *ahead, void *buffer, guint32 count, guint64 offset,
      guint32 *others, gint64 *came, const NbdBudget *budget)
{
  guint n;
  const PipelineRequest *request
    = pipeline_find (&ahead->pipeline, offset, &count, &n);

  *others = count;
  if (!request) {
    if (!ahead->pipeline.ended)
      note_request (ahead, offset, offset + count);
    return 0;
  }
  const bool ready = pipeline_take (request, buffer, count, offset, budget);
  *came = request->piece->came;
  ahead->read_to = offset + count;
  go_on (ahead, n, offset + count);
  return ready ? count : 0;
}

guint32
read_ahead_take (ReadAhead *ahead, void *buffer, guint32 count,
                 guint64 offset, guint32 *others, gint64 *came,
                 const NbdBudget *budget)
{
  if (!g_mutex_trylock (&ahead->busy)) {
    if (!atomic_load (&ahead->collecting))
      return 0;                 /* another thread of this client's */
    g_mutex_lock (&ahead->busy);
  }
  const guint32 taken
    = take (ahead, buffer, count, offset, others, came, budget);
  const bool more = ahead->pipeline.unanswered > 0;
  if (more)
    ahead->used = g_get_monotonic_time ();
  g_mutex_unlock (&ahead->busy);
  if (more)
    collector_wake (collector_of (ahead));
  return taken;
}

bool
read_ahead_go_on (ReadAhead *ahead, int milliseconds)
{
  if (!g_mutex_trylock (&ahead->busy))
    return false;
  const bool more = ahead->pipeline.unanswered > 0;
  if (more)
    pipeline_receive (&ahead->pipeline, milliseconds);
  g_mutex_unlock (&ahead->busy);
  return more;
}
