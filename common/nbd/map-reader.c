/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The map is read in slices, in order.  Before one is taken in, those after it
 * are asked for (map-ahead.h), if one server tells all.
 */
#include <config.h>

#include <errno.h>
#include <stdatomic.h>

#include "base/error.h"
#include "nbd/map-ahead.h"
#include "nbd/map-answer.h"
#include "nbd/map-reader.h"

/* Clients ask for about as much at once, and for less than 4 GiB.  With smaller
 * slices they would mostly wait for what was not asked ahead.
 */
#define SLICE (3584ULL * 1024 * 1024)
/* A question is answered by itself if it begins more than CLOSE beyond what is
 * known, or more than FAR would have to be read for it.  (Who reads in order,
 * or several who do, ask close to what is known.)  Of what lies around it, so
 * much is read that there is a STRETCH.
 */
#define CLOSE (2 * SLICE)
#define FAR (16 * SLICE)
#define QUESTION_MOST (1ULL << 32)
#define STRETCH (64ULL * 1024 * 1024)
#define STRETCH_ALIGNMENT 65536
#define STRETCH_MEMORY (4 * 1024 * 1024)
/* The longest time at once for receiving what nobody waits for. */
#define ATTEND_US 500000

/* QEMU ends an answer after 128 Ki extents.  What is left is asked for anew, at
 * the cost of a round trip: longer slices are tried only below half of that.
 */
#define FEW_EXTENTS (64 * 1024)

struct MapReader {
  NbdPool *pool;
  NbdPool *bits;                /* tells what is dirty; often the same */
  char *context;                /* the one that tells dirty */
  guint64 dirty_from;           /* all from here on is, and nobody is asked */
  NbdHoles holes;
  guint64 data, zeroes;         /* see NbdEndpoint */
  GMutex lock;                  /* held to read a slice; guards all below */
  DirtyMap *map;                /* to write; to read it needs no lock */
  MapAhead *ahead;              /* answers that nobody waited for */
  MapAnswer answer;             /* to what is asked through the pool */
  guint64 slice;                /* bytes to ask for: SLICE, if not cut */
  gint64 used;                  /* when; monotonic, microseconds */
  int failure;
  _Atomic gint64 came;          /* when the latest answer did; monotonic */
};

static NbdLife *
life_of (const MapReader *reader)
{
  return nbd_pool_life (reader->pool);
}

static bool
collect (void *opaque)
{
  MapReader *reader = opaque;

  if (!g_mutex_trylock (&reader->lock))
    return true;
  if (g_get_monotonic_time () - reader->used >= COLLECTOR_IDLE_US)
    map_ahead_receive (reader->ahead, g_get_monotonic_time () + ATTEND_US);
  const bool more = map_ahead_is_under_way (reader->ahead);
  g_mutex_unlock (&reader->lock);
  return more;
}

MapReader *
map_reader_new (NbdPool *pool, NbdPool *bits, const NbdEndpoint *endpoint,
                bool want_zeroes, guint64 coalesce)
{
  MapReader *reader = g_new0 (MapReader, 1);
  const NbdEndpoint *dirty = bits ? endpoint->bits : endpoint;
  const NbdHoles holes = nbd_pool_holes (bits ? bits : pool);

  reader->pool = pool;
  reader->bits = bits ? bits : pool;
  reader->context = g_strdup (holes ? NBD_CONTEXT_ALLOCATION
                              : dirty->bitmap_context
                              ? dirty->bitmap_context : NBD_CONTEXT_DEPTH);
  reader->holes = holes && dirty->told_to > 0 ? holes : NBD_HOLES_MEAN_NOTHING;
  reader->data = dirty->data;
  reader->zeroes = dirty->zeroes;
  reader->dirty_from = bits
    ? MIN (dirty->told_to, nbd_pool_size (bits)) : dirty->told_to;
  g_mutex_init (&reader->lock);
  reader->map = dirty_map_new (nbd_pool_size (pool), coalesce,
                               DIRTY_MAP_MEMORY_LIMIT);
  const guint depth = dirty->bitmap_context ? 0 : dirty->depth;
  map_answer_init (&reader->answer, reader->context, depth, holes,
                   want_zeroes);
  reader->slice = SLICE;
  if (!bits)
    reader->ahead
      = map_ahead_new (pool, MIN (reader->dirty_from, nbd_pool_size (pool)),
                       &reader->answer);
  collector_add (nbd_pool_collector (pool), collect, reader);
  return reader;
}

void
map_reader_free (MapReader *reader)
{
  if (!reader)
    return;
  collector_remove (nbd_pool_collector (reader->pool), reader);
  map_ahead_free (reader->ahead);
  map_answer_clear (&reader->answer);
  dirty_map_free (reader->map);
  g_mutex_clear (&reader->lock);
  g_free (reader->context);
  g_free (reader);
}

/* Of the slice at offset: at most so many bytes, less than 4 GiB as in any
 * request, and not across dirty_from.
 */
static guint64
slice_length (const MapReader *reader, guint64 offset, guint64 most)
{
  const guint64 size = nbd_pool_size (reader->pool);
  const guint64 end
    = offset < reader->dirty_from ? MIN (size, reader->dirty_from) : size;

  return MIN (MIN (most, SLICE), end - offset);
}

/* Ask who must be asked: for both contexts at once if one server tells them. */
static int
ask (MapReader *reader, MapAnswer *answer, guint64 offset, guint64 most,
     NbdBudget *budget, GError **error)
{
  const bool all = offset >= reader->dirty_from;
  const guint64 length = slice_length (reader, offset, most);
  int failure = 0;

  map_answer_expect (answer, offset, length, all);
  const bool apart
    = answer->wants_zeroes && (all || reader->bits != reader->pool);
  answer->asks_zeroes = answer->wants_zeroes && !apart;
  if (!all)
    failure = nbd_pool_block_status (reader->bits, answer, budget, error);
  if (failure || !apart)
    return failure;
  answer->asks_dirty = false;
  answer->asks_zeroes = true;
  return nbd_pool_block_status (reader->pool, answer, budget, error);
}

/* How many bytes an answer tells of.  0: none, which is an error. */
static guint64
measure (const MapReader *reader, const MapAnswer *answer, GError **error)
{
  const guint64 covered = map_answer_covers (answer);

  if (covered == 0)
    error_set (error, EPROTO, "cannot read the dirty map: the server says "
               "nothing of %s at %" G_GUINT64_FORMAT,
               answer->offset >= reader->dirty_from ? NBD_CONTEXT_ALLOCATION
               : reader->context, answer->offset);
  return covered;
}

/* How long slices are to be, after this answer. */
static guint64
next_slice (const MapReader *reader, const MapAnswer *answer, guint64 covered)
{
  /* QEMU works all of it out before it cuts an answer. */
  if (covered < answer->length)
    return MIN (reader->slice, MAX (covered, SLICE / 64));
  return map_answer_extents (answer) < FEW_EXTENTS ? MIN (SLICE, 2 * reader->slice)
    : reader->slice;
}

/* The slice at offset, of which *covered bytes are told; a client waits for what is
 * up to wanted.  The answer is to be forgotten.
 */
static int
await_slice (MapReader *reader, guint64 offset, guint64 wanted,
             NbdBudget *budget, MapAnswer **answer, guint64 *covered,
             GError **error)
{
  map_ahead_ask (reader->ahead, offset, wanted, reader->slice);
  int failure = map_ahead_await (reader->ahead, offset, answer, budget, error);
  if (!failure && !*answer) {
    *answer = &reader->answer;
    failure = ask (reader, *answer, offset,
                   map_ahead_gap (reader->ahead, offset, reader->slice),
                   budget, error);
  }
  if (failure)
    return failure;
  *covered = measure (reader, *answer, error);
  if (*covered == 0)
    return EPROTO;
  reader->slice = next_slice (reader, *answer, *covered);
  map_ahead_ask (reader->ahead, offset + *covered, wanted, reader->slice);
  /* Before others see the map: they release what they see with this time. */
  atomic_store (&reader->came, g_get_monotonic_time ());
  return 0;
}

static int
read_slice (MapReader *reader, guint64 wanted, NbdBudget *budget,
            GError **error)
{
  MapAnswer *answer;
  guint64 covered;
  const int failure
    = await_slice (reader, dirty_map_appended (reader->map), wanted, budget,
                   &answer, &covered, error);

  if (failure)
    return failure;
  map_answer_append (answer, reader->map, covered);
  map_ahead_forget (reader->ahead, answer);
  return 0;
}

/* What stands between us and a view of ours may have changed its map.  Who makes
 * it coarser may lose zeroes beside what is clean, and have as many dirty bytes all
 * the same: so the zeroes must be all there, unless nothing is clean.
 */
static bool
is_whole (const MapReader *reader, GError **error)
{
  const guint64 zeroes = dirty_map_zero_bytes (reader->map);
  const guint64 data = dirty_map_dirty_bytes (reader->map) - zeroes;

  return !reader->holes
    || (zeroes == reader->zeroes && data >= reader->data)
    || data + zeroes == nbd_pool_size (reader->pool)
    || error_set (error, EPROTO, "cannot believe the dirty map: the server "
                  "tells of %" G_GUINT64_FORMAT " bytes of dirty data and %"
                  G_GUINT64_FORMAT " of zeroes, and shows %" G_GUINT64_FORMAT
                  " and %" G_GUINT64_FORMAT "; a filter between may have "
                  "changed it: ask without that, or make a full backup",
                  reader->data, reader->zeroes, data, zeroes);
}

/* From the start on, under the lock.  A budget that is used up does not make
 * the map unreadable.
 */
static int
read_up_to (MapReader *reader, guint64 end, NbdBudget *budget, GError **error)
{
  while (dirty_map_frontier (reader->map) < end) {
    const int spent = nbd_life_spend (life_of (reader), budget);
    if (spent)
      return spent;
    reader->failure = read_slice (reader, end, budget, error);
    if (reader->failure)
      return EIO;
  }
  if (dirty_map_frontier (reader->map) == nbd_pool_size (reader->pool)) {
    if (!is_whole (reader, error))
      return reader->failure = EIO;
    g_clear_pointer (&reader->ahead, map_ahead_free);
    map_answer_clear (&reader->answer); /* no question is far from here on */
  }
  return 0;
}

/* A stretch far away, under the lock. */
static int
read_stretch (MapReader *reader, guint64 offset, guint64 end,
              NbdBudget *budget, MapView *view, GError **error)
{
  offset -= offset % STRETCH_ALIGNMENT;
  const guint64 length = MIN (MAX (end - offset, STRETCH),
                              nbd_pool_size (reader->pool) - offset);

  MapAnswer *answer = &reader->answer;

  view->base = offset;
  view->map = view->own = dirty_map_new (length, 0, STRETCH_MEMORY);
  for (guint64 at = 0, covered; at < length; at += covered) {
    int failure = nbd_life_spend (life_of (reader), budget);
    if (failure)
      return failure;
    failure = ask (reader, answer, offset + at, length - at, budget, error);
    covered = failure ? 0 : measure (reader, answer, error);
    if (covered == 0)
      return reader->failure = EIO;
    map_answer_append (answer, view->own, covered);
  }
  atomic_store (&reader->came, g_get_monotonic_time ());
  return 0;
}

/* Is the question too far from what is known?  On large disks it may be by the
 * size of the steps in which a map becomes known.
 */
static bool
is_far (const MapReader *reader, guint64 offset, guint64 end)
{
  const guint64 known = dirty_map_appended (reader->map);

  return dirty_map_frontier (reader->map) < end && !reader->holes
    && end - offset <= QUESTION_MOST && end > known
    && (offset > known + CLOSE
        || dirty_map_needed (reader->map, end) > known + FAR);
}

int
map_reader_need (MapReader *reader, guint64 offset, guint64 end,
                 NbdBudget *budget, MapView *view, GError **error)
{
  int failure = 0;

  *view = (MapView) { .map = reader->map };
  if (dirty_map_frontier (reader->map) < end) {
    g_mutex_lock (&reader->lock);
    failure = reader->failure ? EIO
      : is_far (reader, offset, end)
      ? read_stretch (reader, offset, end, budget, view, error)
      : read_up_to (reader, end, budget, error);
    const bool more = map_ahead_is_under_way (reader->ahead);
    reader->used = g_get_monotonic_time ();
    g_mutex_unlock (&reader->lock);
    if (more)
      collector_wake (nbd_pool_collector (reader->pool));
  }
  if (!failure)
    failure = nbd_pool_release (reader->pool, atomic_load (&reader->came),
                                budget, error);
  if (failure)
    map_view_clear (view);
  return failure;
}

int
map_reader_learn (MapReader *reader, MapReaderTold told, void *opaque,
                  GError **error)
{
  const guint64 size = nbd_pool_size (reader->pool);

  for (guint64 known = 0; known < size;) {
    const guint64 end = MIN (size, known + MAP_READER_PIECE);
    NbdBudget budget = nbd_life_budget (life_of (reader));
    g_auto (MapView) view = { 0 };
    const int failure
      = map_reader_need (reader, known, end, &budget, &view, error);
    if (failure)
      return failure;
    known = end;
    if (told)
      told (opaque, known);
  }
  return 0;
}

/* The visitor may wait, for who reads what it writes.  So the lock is given up,
 * for the collector: QEMU waits until all answers have been received.
 */
static bool
visit_slice (MapReader *reader, const MapAnswer *answer, guint64 covered,
             DirtyRun *run, DirtyMapVisit visit, void *opaque)
{
  const bool under_way = map_ahead_is_under_way (reader->ahead);

  reader->used = g_get_monotonic_time ();
  g_mutex_unlock (&reader->lock);
  if (under_way)
    collector_wake (nbd_pool_collector (reader->pool));
  const bool more = map_answer_visit (answer, covered, run, visit, opaque);
  g_mutex_lock (&reader->lock);
  map_ahead_forget (reader->ahead, answer);
  return more;
}

/* One slice after the other, each within a budget of its own. */
static int
pass_slices (MapReader *reader, DirtyMapVisit visit, MapReaderTold told,
             void *opaque, GError **error)
{
  const guint64 size = nbd_pool_size (reader->pool);
  DirtyRun run = { 0 };

  for (guint64 at = 0, covered; at < size; at += covered) {
    NbdBudget budget = nbd_life_budget (life_of (reader));
    MapAnswer *answer;
    int failure = nbd_life_spend (life_of (reader), &budget);
    if (!failure)
      failure = await_slice (reader, at, size, &budget, &answer, &covered,
                             error);
    if (failure)
      return failure;
    if (!visit_slice (reader, answer, covered, &run, visit, opaque))
      return ECANCELED;
    if (told)
      told (opaque, at + covered);
  }
  return dirty_run_end (&run, size, visit, opaque) ? 0 : ECANCELED;
}

int
map_reader_prove (MapReader *reader, GError **error)
{
  NbdBudget budget = nbd_life_budget (life_of (reader));

  return nbd_pool_release (reader->pool, atomic_load (&reader->came), &budget,
                           error);
}

int
map_reader_pass (MapReader *reader, DirtyMapVisit visit, MapReaderTold told,
                 void *opaque, GError **error)
{
  int failure;

  g_mutex_lock (&reader->lock);
  failure = reader->failure ? EIO
    : dirty_map_appended (reader->map) > 0 || reader->holes ? EALREADY
    : pass_slices (reader, visit, told, opaque, error);
  if (failure != EALREADY)      /* what is asked for ahead is behind us */
    g_clear_pointer (&reader->ahead, map_ahead_free);
  reader->used = g_get_monotonic_time ();
  g_mutex_unlock (&reader->lock);
  return failure ? failure : map_reader_prove (reader, error);
}

const DirtyMap *
map_reader_map (const MapReader *reader)
{
  return reader->map;
}
