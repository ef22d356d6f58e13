/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * While a client takes one answer, the server works on its next ones, on a
 * connection of that client's own.  The threads that serve the client receive
 * them just before they are asked for: the bytes are still in the processor's
 * cache.  A client that has much under way by itself needs that only where the
 * way is long.
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
/* A stream begins with that part of it. */
#define FIRST_SHARE 16
/* Filling the way leaves so much for the windows of others. */
#define FOR_OTHERS (24 * 1024 * 1024)
/* For as many bytes a millisecond is waited when a client leaves. */
#define SLOWEST 4096

/* A request goes on with a stream if it is for one of its next few runs; of a
 * reader who has left most out, such as one of several who take turns, for the
 * very next.
 */
#define EXPECTED_RUNS 4

struct ReadAhead {
  const DirtyMap *map;
  atomic_uint requests;         /* of the reader's, under way */
  atomic_size_t asked;          /* bytes, of all these */
  Pipeline pipeline;            /* its turns.lock guards what follows */
  gint64 used;                  /* when; monotonic, microseconds */
  gsize parallel;               /* so much is asked beside a request, of late */
  guint usual;                  /* pieces, of a server that is near */
  guint lent;                   /* pieces, of the life's memory */
  guint depth;                  /* so many pieces may be queued; 0: nothing was
                                 * asked for */
  bool leaves_out;              /* it has left out more than it took */
  guint strays;                 /* requests since the last in this order */
  guint64 read_to;              /* the end of the last request */
  guint64 next;                 /* what follows will be read ahead, or has to
                                 * be asked for to make this a stream */
};

static Collector *
collector_of (const ReadAhead *ahead)
{
  return nbd_pool_collector (ahead->pipeline.pool);
}

static GMutex *
lock_of (ReadAhead *ahead)
{
  return &ahead->pipeline.turns.lock;
}

/* As many pieces, for which the life's memory has been taken. */
static void
set_lent (ReadAhead *ahead, guint lent)
{
  const guint more = lent > ahead->usual ? lent - ahead->usual : 0;

  ahead->lent = lent;
  ahead->pipeline.window = WINDOW + (guint64) more * PIECE_BYTES;
}

/* Borrow memory for so many pieces, as far as there is some. */
static void
lend (ReadAhead *ahead, guint want, gsize for_others)
{
  NbdLife *life = nbd_pool_life (ahead->pipeline.pool);

  while (want > ahead->lent
         && !nbd_life_take_memory (
           life, (gsize) (want - ahead->lent) * PIECE_BYTES, for_others))
    want = (want + ahead->lent) / 2;
  if (want > ahead->lent)
    set_lent (ahead, want);
}

/* So many pieces fill what the reader does not ask for by itself. */
static guint
less_parallel (const ReadAhead *ahead, guint pieces)
{
  const gsize parallel = ahead->parallel / PIECE_BYTES;

  return parallel < pieces ? pieces - (guint) parallel : 0;
}

/* So many are to be queued now. */
static guint
wanted (ReadAhead *ahead)
{
  if (less_parallel (ahead, ahead->usual) > 0)
    lend (ahead, ahead->usual, 0);
  return MIN (ahead->depth, less_parallel (ahead, ahead->lent));
}

/* So many pieces fill the way to the server. */
static guint
filling (const ReadAhead *ahead)
{
  const guint64 bytes = SENDS_AT_MOST
    * (guint64) nbd_pool_round_trip (ahead->pipeline.pool);

  return (guint) MIN (bytes / PIECE_BYTES, (guint64) PIPELINE_PIECES);
}

/* What was read ahead was of use: fill the way, as far as there is memory for it.
 */
static void
widen (ReadAhead *ahead)
{
  const guint want
    = MIN (ahead->usual + filling (ahead), (guint) PIPELINE_PIECES);
  const guint before = ahead->lent;

  lend (ahead, want, FOR_OTHERS);
  if (ahead->lent > before)
    ahead->depth = MAX (ahead->depth, ahead->lent / 4);
}

static void
return_lent (ReadAhead *ahead)
{
  nbd_life_return_memory (nbd_pool_life (ahead->pipeline.pool),
                          (gsize) ahead->lent * PIECE_BYTES);
  set_lent (ahead, 0);
}

/* Drop what is queued, and give memory and connection back, unless something is
 * in flight, which still needs them: then the collector comes again.  Nor while
 * another thread takes.
 */
static void
rest (ReadAhead *ahead)
{
  pipeline_rest (&ahead->pipeline);
  if (ahead->pipeline.unanswered == 0 && ahead->pipeline.n == 0)
    return_lent (ahead);
}

static bool
collect (void *opaque)
{
  ReadAhead *ahead = opaque;

  if (!g_mutex_trylock (lock_of (ahead)))
    return true;
  const gint64 idle = g_get_monotonic_time () - ahead->used;
  if (idle >= COLLECTOR_IDLE_US
      && pipeline_drain (&ahead->pipeline, COLLECTOR_PATIENCE_MS)
      && (ahead->pipeline.n == 0 || idle >= READ_AHEAD_PAUSE_US))
    rest (ahead);
  const bool more = ahead->pipeline.unanswered > 0 || ahead->lent > 0;
  g_mutex_unlock (lock_of (ahead));
  return more;
}

ReadAhead *
read_ahead_new (NbdPool *pool, const DirtyMap *map)
{
  ReadAhead *ahead = g_new0 (ReadAhead, 1);

  pipeline_init (&ahead->pipeline, pool, PIECE_BYTES);
  set_lent (ahead, 0);
  ahead->usual = nbd_pool_witness (pool) ? PIECES_WITNESSED : PIECES_USUAL;
  ahead->map = map;
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
  g_mutex_lock (lock_of (ahead));
  pipeline_close (&ahead->pipeline, READ_AHEAD_GOODBYE_MS
                  + (guint) (ahead->pipeline.unanswered_bytes / SLOWEST));
  return_lent (ahead);
  g_mutex_unlock (lock_of (ahead));
  pipeline_clear (&ahead->pipeline);
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

  if (pipeline->n == 0
      && less_parallel (ahead, MAX (ahead->usual, ahead->lent)) == 0)
    return;
  if (!pipeline_open (pipeline))
    return;
  const guint want = wanted (ahead);
  while (pipeline->n < want && queue_piece (ahead))
    ;
  if (pipeline->n == 0)
    rest (ahead);
  else                          /* or the server waits for room in the socket */
    pipeline_receive (pipeline, 0);
}

/* Forget pieces that were handed out, or that a reader who is at piece n has
 * left behind; each of its requests may be one behind another.  False if more
 * than a quarter of one was of no use.
 */
static bool
forget_behind (ReadAhead *ahead, guint n)
{
  const PipelinePiece *piece;
  bool useful = true, forgot = false;

  while ((piece = pipeline_first_done (&ahead->pipeline))
         && (piece->taken >= piece->length
             || n > ahead->lent / 2 + atomic_load (&ahead->requests) - 1)) {
    useful = useful && piece->taken >= piece->length / 4 * 3;
    pipeline_pop (&ahead->pipeline);
    n -= n > 0;
    ahead->depth = MIN (ahead->depth * 2, ahead->lent);
    forgot = true;
  }
  if (useful && forgot && !ahead->pipeline.ended)
    widen (ahead);
  return useful;
}

/* A stream may begin there.  A server that is far away is asked for more at once,
 * since to learn that it goes on takes a round trip.
 */
static void
begin_anew (ReadAhead *ahead, guint64 next)
{
  rest (ahead);
  ahead->next = next;
  ahead->depth = 1 + filling (ahead) / FIRST_SHARE;
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
    /* Several at once come in any order. */
    if (++ahead->strays >= atomic_load (&ahead->requests))
      begin_anew (ahead, end);
    return;
  }
  ahead->strays = 0;
  ahead->next = end;
  go_on (ahead, G_MAXUINT, end);
}

static guint32
take (ReadAhead *ahead, void *buffer, guint32 count, guint64 offset,
      guint32 *others, gint64 *came, const NbdBudget *budget)
{
  const PipelineRequest *request
    = pipeline_find (&ahead->pipeline, offset, &count);

  *others = count;
  if (!request) {
    if (!ahead->pipeline.ended)
      note_request (ahead, offset, offset + count);
    return 0;
  }
  ahead->strays = 0;
  const bool ready
    = pipeline_take (request, buffer, count, offset, budget, came);
  ahead->read_to = offset + count;
  /* Others may have popped pieces before it meanwhile. */
  go_on (ahead, pipeline_number (&ahead->pipeline, request->piece),
         offset + count);
  return ready ? count : 0;
}

/* What is asked for beside a request is seen at its highest, and slowly forgotten.
 */
static void
note_parallel (ReadAhead *ahead)
{
  const guint requests = MAX (atomic_load (&ahead->requests), 1);
  const gsize others
    = atomic_load (&ahead->asked) / requests * (requests - 1);

  ahead->parallel = MAX (others, ahead->parallel - ahead->parallel / 32);
}

void
read_ahead_enter (ReadAhead *ahead, guint32 count)
{
  atomic_fetch_add (&ahead->requests, 1);
  atomic_fetch_add (&ahead->asked, count);
}

void
read_ahead_leave (ReadAhead *ahead, guint32 count)
{
  atomic_fetch_sub (&ahead->asked, count);
  atomic_fetch_sub (&ahead->requests, 1);
}

guint32
read_ahead_take (ReadAhead *ahead, void *buffer, guint32 count,
                 guint64 offset, guint32 *others, gint64 *came,
                 const NbdBudget *budget)
{
  g_mutex_lock (lock_of (ahead));
  note_parallel (ahead);
  const guint32 taken
    = take (ahead, buffer, count, offset, others, came, budget);
  const bool more = ahead->lent > 0;
  if (more)
    ahead->used = g_get_monotonic_time ();
  g_mutex_unlock (lock_of (ahead));
  if (more)
    collector_wake (collector_of (ahead));
  return taken;
}

bool
read_ahead_go_on (ReadAhead *ahead, int milliseconds)
{
  if (!g_mutex_trylock (lock_of (ahead)))
    return false;
  const bool more = ahead->pipeline.unanswered > 0
    && !ahead->pipeline.turns.receiving;
  if (more)
    pipeline_receive (&ahead->pipeline, milliseconds);
  g_mutex_unlock (lock_of (ahead));
  return more;
}
