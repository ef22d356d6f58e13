/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Planes are walked from change to change: a word is compared with itself, moved by
 * one bit.
 */
#include <config.h>

#include "map/dirty-map-chunk.h"
#include "map/dirty-map-walk.h"

typedef struct {
  DirtyRun *run;
  DirtyMapVisit visit;
  void *opaque;
  guint64 start;                /* where the walk begins in this chunk: inside
                                 * of a cell, maybe */
  guint64 base;                 /* of the chunk */
  guint cell_shift;
  guint32 first, end;           /* cells of the chunk to be walked */
} Walk;

static inline bool
change (const Walk *walk, guint32 cell, DirtyState state)
{
  return dirty_run_go_on (walk->run,
                          walk->base + ((guint64) cell << walk->cell_shift),
                          state, walk->visit, walk->opaque);
}

static inline bool
begin (const Walk *walk, DirtyState state)
{
  return dirty_run_go_on (walk->run, walk->start, state, walk->visit,
                          walk->opaque);
}

static bool
walk_runs (const DirtyMapChunk *chunk, const Walk *walk)
{
  const guint32 *runs = chunk->data;
  guint32 next;

  if (!begin (walk, dirty_map_chunk_lookup (chunk, walk->first, &next)))
    return false;
  if (next == DIRTY_MAP_NO_CHANGE)
    return true;
  guint32 i = chunk->n;
  while (i > 0 && dirty_map_run_start (runs[i - 1]) >= next)
    i--;
  for (; i < chunk->n && dirty_map_run_start (runs[i]) < walk->end; i++)
    if (!change (walk, dirty_map_run_start (runs[i]),
                 dirty_map_run_state (runs[i])))
      return false;
  return true;
}

static inline DirtyState
state_of (const DirtyMapChunk *chunk, guint planes, const guint64 *words,
          guint bit)
{
  if (planes == 1)
    return words[0] >> bit & 1 ? chunk->high : chunk->low;
  return (DirtyState) ((words[0] >> bit & 1) | (words[1] >> bit & 1) << 1);
}

static inline bool
walk_planes (const DirtyMapChunk *chunk, guint planes, const Walk *walk)
{
  const guint64 *data = chunk->data;
  const guint32 bit = walk->first >> chunk->shift;
  const guint32 last = (walk->end - 1) >> chunk->shift;
  guint64 ignored = ~G_GUINT64_CONSTANT (1) << bit % 64;
  guint64 before[2] = { 0, 0 };

  if (!begin (walk, state_of (chunk, planes, &data[bit / 64 * (gsize) planes],
                              bit % 64)))
    return false;
  for (guint32 w = bit / 64; w <= last / 64; w++) {
    const guint64 *words = &data[(gsize) w * planes];
    guint64 differs = 0;
    for (guint p = 0; p < planes; p++) {
      differs |= words[p] ^ (words[p] << 1 | before[p]);
      before[p] = words[p] >> 63;
    }
    for (differs &= ignored; differs != 0; differs &= differs - 1) {
      const guint i = (guint) __builtin_ctzll (differs);
      if (w * 64 + i > last)
        return true;
      if (!change (walk, (w * 64 + i) << chunk->shift,
                   state_of (chunk, planes, words, i)))
        return false;
    }
    ignored = ~G_GUINT64_CONSTANT (0);
  }
  return true;
}

static bool
walk_chunk (const DirtyMapChunk *chunk, const Walk *walk)
{
  switch ((DirtyMapChunkKind) chunk->kind) {
  case DIRTY_MAP_CHUNK_UNIFORM:
    return begin (walk, chunk->low);
  case DIRTY_MAP_CHUNK_RUNS:
    return walk_runs (chunk, walk);
  case DIRTY_MAP_CHUNK_ONE_PLANE:
    return walk_planes (chunk, 1, walk);
  case DIRTY_MAP_CHUNK_TWO_PLANES:
    return walk_planes (chunk, 2, walk);
  }
  g_assert_not_reached ();
}

bool
dirty_map_walk (const DirtyMap *map, guint64 base, guint64 offset,
                guint64 limit, DirtyRun *run, DirtyMapVisit visit,
                void *opaque)
{
  if (offset < limit
      && (offset < base || limit - base > dirty_map_frontier (map))) {
    g_critical ("dirty map: %" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT
                " was to be walked, known up to %" G_GUINT64_FORMAT,
                offset, limit, base + dirty_map_frontier (map));
    return dirty_run_go_on (run, offset, DIRTY_MAP_DIRTY, visit, opaque);
  }
  while (offset < limit) {
    guint64 from, end;
    Walk walk = { .run = run, .visit = visit, .opaque = opaque,
                  .start = offset };
    const DirtyMapChunk *chunk
      = dirty_map_chunk_at (map, offset - base, &from, &end,
                            &walk.cell_shift);
    end = MIN (end, limit - base);
    walk.base = base + from;
    walk.first = (guint32) ((offset - base - from) >> walk.cell_shift);
    walk.end = (guint32) ((end - from - 1) >> walk.cell_shift) + 1;
    if (!walk_chunk (chunk, &walk))
      return false;
    offset = base + end;
  }
  return true;
}
