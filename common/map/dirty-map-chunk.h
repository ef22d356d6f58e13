/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */

/* One chunk of a dirty map: private to common/dirty-map*.c and the unit
 * test.  See dirty-map-chunk.c for the encodings.
 *
 * A chunk is counted in cells, the map's sectors: at most 2^30 of them,
 * so that a cell number and a state fit in 32 bits.  A *run* is such a
 * number: the first cell of a stretch in one state, which lasts until the
 * next run starts.  A list of runs starts at cell 0, ascends, and no two
 * neighbours have the same state.
 *
 * None of this takes a lock: a chunk is written by dirty_map_chunk_seal
 * and is constant from then on.
 */

#ifndef COMMON_MAP_DIRTY_MAP_CHUNK_H
#define COMMON_MAP_DIRTY_MAP_CHUNK_H

#include "map/dirty-map.h"

G_BEGIN_DECLS

#define DIRTY_MAP_MAX_CELLS_SHIFT 30

/* Returned as the next change when the state lasts to the chunk's end. */
#define DIRTY_MAP_NO_CHANGE G_MAXUINT32

typedef enum {
  DIRTY_MAP_CHUNK_UNIFORM,
  DIRTY_MAP_CHUNK_RUNS,
  DIRTY_MAP_CHUNK_ONE_PLANE,
  DIRTY_MAP_CHUNK_TWO_PLANES
} DirtyMapChunkKind;

/* 16 bytes, as there is one of these per chunk in the index. */
typedef struct {
  void *data;                   /* NULL when uniform */
  guint32 n;                    /* runs, or words in one plane */
  guint8 kind;                  /* DirtyMapChunkKind */
  guint8 shift;                 /* planes: log2 of the cells per bit */
  guint8 low, high;             /* uniform: low; one plane: bits 0 and 1 */
} DirtyMapChunk;

/* What a chunk may take, in bytes: rest chunks follow it, each of which
 * must be left its share of what is left.
 */
typedef struct {
  gsize left;
  gsize share;
  gsize rest;
} DirtyMapBudget;

static inline guint32
dirty_map_run (guint32 start, DirtyState state)
{
  return start << 2 | (guint32) state;
}

static inline guint32
dirty_map_run_start (guint32 run)
{
  return run >> 2;
}

static inline DirtyState
dirty_map_run_state (guint32 run)
{
  return (DirtyState) (run & 3);
}

/* Both rewrite a list of n runs in place and return its new length, which
 * is never more.
 *
 * dirty_map_runs_demote makes everything that reads as zeroes plain dirty.
 * dirty_map_runs_coarsen makes dirty all of each aligned group of 2^shift
 * cells which has a dirty cell; cells is where the list ends; the list
 * must have been demoted.
 */
guint32 dirty_map_runs_demote (guint32 *runs, guint32 n);
guint32 dirty_map_runs_coarsen (guint32 *runs, guint32 n, guint32 cells,
                                guint shift);

/* Encode the n >= 1 runs that describe cells cells into *chunk, which
 * then owns memory: see dirty_map_chunk_clear.  If the budget asks for
 * it, the list of runs is made coarser first, in place, and *reduced is
 * set (it is never cleared).  Returns the bytes allocated, which is at
 * most left - share * rest.
 */
gsize dirty_map_chunk_seal (DirtyMapChunk *chunk, guint32 *runs, guint32 n,
                            guint32 cells, const DirtyMapBudget *budget,
                            bool *reduced);

void dirty_map_chunk_clear (DirtyMapChunk *chunk);

/* The state of a cell, and in *next the first cell after it which has
 * another state, or DIRTY_MAP_NO_CHANGE.
 */
DirtyState dirty_map_chunk_lookup (const DirtyMapChunk *chunk, guint32 cell,
                                   guint32 *next);

/* What malloc is thought to take for so many bytes. */
gsize dirty_map_allocated (gsize bytes);

/* dirty_map_new with chunks of 2^span_shift bytes (at least 512) instead
 * of a span chosen by the size, so that tests cross many chunk boundaries
 * on small disks.
 */
DirtyMap *dirty_map_new_with_span (guint64 size, guint64 coalesce,
                                   gsize memory_limit, guint span_shift);

G_END_DECLS

#endif /* COMMON_MAP_DIRTY_MAP_CHUNK_H */
