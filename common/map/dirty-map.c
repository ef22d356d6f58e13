/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The disk is cut into at most 16384 chunks of a power of two of bytes.  The
 * writer stages the runs of one chunk, and seals it into its smallest encoding
 * when it is full (dirty-map-chunk.c).  Only sealed chunks can be looked up,
 * and those never change, so all that readers need is the frontier: stored with
 * release order after a chunk is sealed, loaded with acquire order before one
 * is looked at.
 *
 * Chunks are 512 MiB for disks up to 8 TiB, and have at most as many runs as
 * staging can hold.  In larger chunks staging may overflow, and is made coarser
 * at once.
 *
 * Half of the memory limit is shared out evenly, so that the start of the disk
 * leaves enough for its end.  The other half, and what chunks did not need of
 * their share, is for whoever comes first.
 *
 * Bytes pass three stages: coalescing (a clean gap waits in "pending" until it
 * is known what follows it, or that it is too long), joining into cells (a cell
 * of two states is dirty: clean bytes need not be zero, so CLEAN and ZERO make
 * DIRTY as well), and staging.
 */
#include <config.h>

#include <stdatomic.h>
#include <string.h>

#include "map/dirty-map-chunk.h"

#define MIN_SPAN_SHIFT 29
#define MAX_CHUNKS 16384
#define MIN_CELL_SHIFT 9
#define MIN_STAGING 1024
#define MAX_STAGING (1024 * 1024)

/* In the uniform array: a chunk of more than one state. */
#define MIXED 0xff

struct DirtyMap {
  guint64 size;
  guint64 coalesce;
  gsize limit;
  gsize share;                  /* of the limit, for each chunk */
  guint span_shift, cell_shift;
  gsize chunks;
  DirtyMapChunk *index;
  /* The state of each uniform chunk, else MIXED.  The index says so, too, but
   * takes thousands of cache lines, instead of two dozen, to see how long an
   * untouched stretch of a large disk is.
   */
  guint8 *uniform;

  /* Only the writer writes these, anyone reads them. */
  _Atomic guint64 frontier;
  _Atomic guint64 dirty_bytes, zero_bytes;
  _Atomic gsize memory;
  _Atomic bool exact;

  /* Only for the writer. */
  guint64 appended;
  guint64 pending;              /* clean bytes which may be coalesced */
  guint64 placed;               /* appended - pending */
  DirtyState last;              /* what was placed last, before the gap */
  DirtyState partial;           /* the cell placed ends in, if it does */
  gsize sealed;                 /* chunks */
  guint64 base, stop;           /* of the chunk after those, in bytes */
  gsize used;                   /* by sealed chunks */
  guint32 *runs;                /* staging */
  guint32 n, room;
  guint staged_shift;           /* how coarse staging had to be made */
};

static inline guint64
load (const _Atomic guint64 *counter)
{
  return atomic_load_explicit (counter, memory_order_relaxed);
}

/* With one writer there is no need for a locked addition. */
static inline void
add (_Atomic guint64 *counter, guint64 n)
{
  atomic_store_explicit (counter, load (counter) + n, memory_order_relaxed);
}

static inline void
not_exact (DirtyMap *map)
{
  atomic_store_explicit (&map->exact, false, memory_order_relaxed);
}

static void
count_memory (DirtyMap *map)
{
  const gsize memory = map->used + dirty_map_allocated (sizeof *map)
    + dirty_map_allocated (map->chunks * sizeof *map->index)
    + dirty_map_allocated (map->chunks * sizeof *map->uniform)
    + dirty_map_allocated (map->room * sizeof *map->runs);

  atomic_store_explicit (&map->memory, memory, memory_order_relaxed);
}

static void
start_chunk (DirtyMap *map)
{
  const guint64 span = G_GUINT64_CONSTANT (1) << map->span_shift;

  map->base = map->placed;
  map->stop = map->size - map->base > span ? map->base + span : map->size;
  map->n = 0;
  map->staged_shift = 0;
}

DirtyMap *
dirty_map_new_with_span (guint64 size, guint64 coalesce, gsize memory_limit,
                         guint span_shift)
{
  DirtyMap *map = g_new0 (DirtyMap, 1);

  g_assert (span_shift >= MIN_CELL_SHIFT && span_shift < 64);
  map->size = size;
  map->coalesce = coalesce;
  map->limit = memory_limit;
  map->span_shift = span_shift;
  map->cell_shift = MIN_CELL_SHIFT;
  if (span_shift > MIN_CELL_SHIFT + DIRTY_MAP_MAX_CELLS_SHIFT)
    map->cell_shift = span_shift - DIRTY_MAP_MAX_CELLS_SHIFT;
  if (size > 0) {
    map->chunks = ((size - 1) >> span_shift) + 1;
    map->share = memory_limit / 2 / map->chunks;
    map->index = g_new0 (DirtyMapChunk, map->chunks);
    map->uniform = g_new0 (guint8, map->chunks);
  }
  atomic_init (&map->exact, true);
  start_chunk (map);
  count_memory (map);
  return map;
}

DirtyMap *
dirty_map_new (guint64 size, guint64 coalesce, gsize memory_limit)
{
  guint span_shift = MIN_SPAN_SHIFT;

  while (size > 0 && (size - 1) >> span_shift >= MAX_CHUNKS)
    span_shift++;
  return dirty_map_new_with_span (size, coalesce, memory_limit, span_shift);
}

void
dirty_map_free (DirtyMap *map)
{
  if (!map)
    return;
  for (gsize i = 0; i < map->sealed; i++)
    dirty_map_chunk_clear (&map->index[i]);
  g_free (map->index);
  g_free (map->uniform);
  g_free (map->runs);
  g_free (map);
}

/* Staging is full of runs up to the cell end, and cannot grow.  Halving it,
 * rather than making room for one more, keeps the cost per run constant.  What
 * comes later is staged in cells again: the chunk's unit is found when it is
 * sealed.
 */
static void
reduce_staging (DirtyMap *map, guint32 end)
{
  map->n = dirty_map_runs_demote (map->runs, map->n);
  if (map->staged_shift > 0)
    map->n = dirty_map_runs_coarsen (map->runs, map->n, end,
                                     map->staged_shift);
  while (map->n > MAX_STAGING / 2)
    map->n = dirty_map_runs_coarsen (map->runs, map->n, end,
                                     ++map->staged_shift);
  not_exact (map);
}

static void
make_room (DirtyMap *map, guint32 end)
{
  if (map->room == MAX_STAGING) {
    reduce_staging (map, end);
    return;
  }
  map->room = MAX (MIN_STAGING, map->room * 2);
  map->runs = g_renew (guint32, map->runs, map->room);
  count_memory (map);
}

/* From offset on, where a cell of the chunk begins, it is in this state. */
static inline void
stage (DirtyMap *map, guint64 offset, DirtyState state)
{
  const guint32 cell = (guint32) ((offset - map->base) >> map->cell_shift);

  if (G_UNLIKELY (map->n == map->room))
    make_room (map, cell);
  if (map->n > 0 && dirty_map_run_state (map->runs[map->n - 1]) == state)
    return;
  map->runs[map->n++] = dirty_map_run (cell, state);
}

static void
seal (DirtyMap *map)
{
  const DirtyMapBudget budget = {
    .left = map->limit - map->used,
    .share = map->share,
    .rest = map->chunks - map->sealed - 1,
  };
  const guint32 cells
    = (guint32) ((map->stop - map->base - 1) >> map->cell_shift) + 1;
  DirtyMapChunk *chunk = &map->index[map->sealed];
  bool reduced = false;

  map->used += dirty_map_chunk_seal (chunk, map->runs, map->n, cells, &budget,
                                     &reduced);
  if (reduced)
    not_exact (map);
  map->uniform[map->sealed]
    = chunk->kind == DIRTY_MAP_CHUNK_UNIFORM ? chunk->low : MIXED;
  map->sealed++;
  if (map->stop == map->size) {
    g_clear_pointer (&map->runs, g_free);
    map->room = 0;
  }
  count_memory (map);
  start_chunk (map);
  atomic_store_explicit (&map->frontier, map->placed, memory_order_release);
}

/* The slow part of place: of length bytes, all in one chunk, the first or the
 * last cell is not whole.
 */
static void
place_partial (DirtyMap *map, guint64 length, DirtyState state)
{
  const guint64 cell_size = G_GUINT64_CONSTANT (1) << map->cell_shift;
  const guint64 mask = cell_size - 1;

  if ((map->placed & mask) != 0) {
    const guint64 cell = map->placed & ~mask;
    const guint64 part = MIN (length, cell_size - (map->placed & mask));
    if (map->partial != state) {
      map->partial = DIRTY_MAP_DIRTY;
      not_exact (map);
    }
    map->placed += part;
    length -= part;
    if ((map->placed & mask) != 0 && map->placed != map->size)
      return;
    stage (map, cell, map->partial);
  }

  if (length > mask) {
    stage (map, map->placed, state);
    map->placed += length & ~mask;
    length &= mask;
  }

  if (length > 0) {
    map->partial = state;
    if (map->placed + length == map->size)
      stage (map, map->placed, state);
    map->placed += length;
  }
}

static inline void
place (DirtyMap *map, guint64 length, DirtyState state)
{
  const guint64 mask = (G_GUINT64_CONSTANT (1) << map->cell_shift) - 1;

  while (length > 0) {
    const guint64 part = MIN (length, map->stop - map->placed);
    if (G_LIKELY (((map->placed | part) & mask) == 0)) {
      stage (map, map->placed, state);
      map->placed += part;
    }
    else
      place_partial (map, part, state);
    length -= part;
    if (map->placed == map->stop)
      seal (map);
  }
}

/* The gap, if any, ends here. */
static inline void
place_pending (DirtyMap *map, DirtyState state)
{
  const guint64 length = map->pending;

  map->pending = 0;
  place (map, length, state);
}

void
dirty_map_append (DirtyMap *map, guint64 length, DirtyState state)
{
  length = MIN (length, map->size - map->appended);
  if (length == 0)
    return;
  map->appended += length;

  if (state == DIRTY_MAP_CLEAN) {
    map->pending += length;
    if (map->last == DIRTY_MAP_CLEAN || map->pending > map->coalesce
        || map->appended == map->size) {
      map->last = DIRTY_MAP_CLEAN;
      place_pending (map, DIRTY_MAP_CLEAN);
    }
    return;
  }

  if (G_UNLIKELY (state != DIRTY_MAP_ZERO))
    state = DIRTY_MAP_DIRTY;
  add (&map->dirty_bytes, length);
  if (state == DIRTY_MAP_ZERO)
    add (&map->zero_bytes, length);
  if (map->pending > 0)
    place_pending (map, state == DIRTY_MAP_ZERO && map->last == DIRTY_MAP_ZERO
                   ? DIRTY_MAP_CLEAN : DIRTY_MAP_DIRTY);
  map->last = state;
  place (map, length, state);
}

guint64
dirty_map_appended (const DirtyMap *map)
{
  return map->appended;
}

guint64
dirty_map_frontier (const DirtyMap *map)
{
  return atomic_load_explicit (&map->frontier, memory_order_acquire);
}

guint64
dirty_map_needed (const DirtyMap *map, guint64 end)
{
  const guint64 chunks
    = end == 0 ? 0 : ((MIN (end, map->size) - 1) >> map->span_shift) + 1;

  return chunks >= map->chunks ? map->size : chunks << map->span_shift;
}

guint64
dirty_map_dirty_bytes (const DirtyMap *map)
{
  return load (&map->dirty_bytes);
}

guint64
dirty_map_zero_bytes (const DirtyMap *map)
{
  return load (&map->zero_bytes);
}

gsize
dirty_map_memory (const DirtyMap *map)
{
  return atomic_load_explicit (&map->memory, memory_order_relaxed);
}

bool
dirty_map_is_exact (const DirtyMap *map)
{
  return atomic_load_explicit (&map->exact, memory_order_relaxed);
}

/* Where the run ends that comes out of chunk i - 1 into chunk i. */
static guint64
end_of_run (const DirtyMap *map, gsize i, guint64 limit, DirtyState state)
{
  const gsize last = (limit - 1) >> map->span_shift;
  const guint64 eight = G_GUINT64_CONSTANT (0x0101010101010101) * state;

  while (i <= last) {
    guint64 stop = (guint64) i << map->span_shift, word;
    guint32 next;
    if (map->uniform[i] == MIXED) {
      if (dirty_map_chunk_lookup (&map->index[i], 0, &next) == state)
        stop += (guint64) next << map->cell_shift;
      return MIN (stop, limit);
    }
    if (map->uniform[i] != state)
      return stop;
    for (i++; i + 7 <= last; i += sizeof word) {
      memcpy (&word, &map->uniform[i], sizeof word);
      if (word != eight)
        break;
    }
  }
  return limit;
}

DirtyState
dirty_map_lookup (const DirtyMap *map, guint64 offset, guint64 limit,
                  guint64 *end)
{
  const gsize i = offset >> map->span_shift;
  const guint64 base = (guint64) i << map->span_shift;
  guint32 next;

  if (G_UNLIKELY (offset >= limit || limit > dirty_map_frontier (map))) {
    g_critical ("dirty map: %" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT
                " was asked for, known up to %" G_GUINT64_FORMAT,
                offset, limit, dirty_map_frontier (map));
    *end = MAX (limit, offset + 1);
    return DIRTY_MAP_DIRTY;
  }

  const guint32 cell = (guint32) ((offset - base) >> map->cell_shift);
  const DirtyState state
    = dirty_map_chunk_lookup (&map->index[i], cell, &next);
  *end = next == DIRTY_MAP_NO_CHANGE ? end_of_run (map, i + 1, limit, state)
    : MIN (base + ((guint64) next << map->cell_shift), limit);
  return state;
}

const DirtyMapChunk *
dirty_map_chunk_at (const DirtyMap *map, guint64 offset, guint64 *base,
                    guint64 *end, guint *cell_shift)
{
  const gsize i = offset >> map->span_shift;

  *base = (guint64) i << map->span_shift;
  *end = i + 1 == map->chunks ? map->size
    : (guint64) (i + 1) << map->span_shift;
  *cell_shift = map->cell_shift;
  return &map->index[i];
}
