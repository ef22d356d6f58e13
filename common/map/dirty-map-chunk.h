/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * One chunk of a dirty map: private to common/map/dirty-map*.c and the unit
 * test.
 *
 * A chunk is counted in cells, the map's sectors: at most 2^30, so that a
 * cell's number and a state fit in 32 bits.  A *run* is such a pair: the first
 * cell of a stretch in one state, which lasts until the next run starts.  A
 * list of runs starts at cell 0, ascends, and no two neighbours have the same
 * state.
 *
 * Nothing here takes a lock: dirty_map_chunk_seal writes a chunk, which is
 * constant from then on.
 */
#pragma once

#include "map/dirty-map.h"

#define DIRTY_MAP_MAX_CELLS_SHIFT 30

/* The next change, where the state lasts to the chunk's end. */
#define DIRTY_MAP_NO_CHANGE G_MAXUINT32

typedef enum {
  DIRTY_MAP_CHUNK_UNIFORM,
  DIRTY_MAP_CHUNK_RUNS,
  DIRTY_MAP_CHUNK_ONE_PLANE,
  DIRTY_MAP_CHUNK_TWO_PLANES
} DirtyMapChunkKind;

/* 16 bytes, as the index has one of these per chunk. */
typedef struct {
  void *data;                   /* NULL when uniform */
  guint32 n;                    /* runs, or words in one plane */
  guint8 kind;                  /* DirtyMapChunkKind */
  guint8 shift;                 /* planes: log2 of the cells per bit */
  guint8 low, high;             /* uniform: low; one plane: bits 0 and 1 */
} DirtyMapChunk;

/* What a chunk may take, in bytes. */
typedef struct {
  gsize left;                   /* for it and all that follow */
  gsize share;                  /* must be left for each that follows */
  gsize rest;                   /* so many follow */
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

/* Make all zeroes in a list of n runs plain dirty, in place.  Returns the new
 * length, which is never more.
 */
guint32 dirty_map_runs_demote (guint32 *runs, guint32 n);
/* Likewise make dirty all of each aligned group of 2^shift cells that has a
 * dirty cell.  cells is where the list ends.  It must have been demoted.
 */
guint32 dirty_map_runs_coarsen (guint32 *runs, guint32 n, guint32 cells,
                                guint shift);

/* Encode n >= 1 runs that describe so many cells into *chunk, which owns memory
 * then (dirty_map_chunk_clear).  Where the budget asks for it, the list is made
 * coarser first, in place, and *reduced set.  Returns the bytes allocated, at
 * most left - share * rest.
 */
gsize dirty_map_chunk_seal (DirtyMapChunk *chunk, guint32 *runs, guint32 n,
                            guint32 cells, const DirtyMapBudget *budget,
                            bool *reduced);

void dirty_map_chunk_clear (DirtyMapChunk *chunk);

/* The state of a cell; in *next, the first cell after it in another state, or
 * DIRTY_MAP_NO_CHANGE.
 */
DirtyState dirty_map_chunk_lookup (const DirtyMapChunk *chunk, guint32 cell,
                                   guint32 *next);

/* The chunk that has the byte at offset, which is below the frontier.  *base: where
 * it begins; *cell_shift: how many bytes a cell has, as a shift; *end: where it
 * ends.  Borrowed.
 */
const DirtyMapChunk *dirty_map_chunk_at (const DirtyMap *map, guint64 offset,
                                         guint64 *base, guint64 *end,
                                         guint *cell_shift);

/* What malloc is thought to take for so many bytes. */
gsize dirty_map_allocated (gsize bytes);

/* dirty_map_new with chunks of 2^span_shift bytes (at least 512), whatever the
 * size, so that tests cross many borders of chunks on small disks.
 */
DirtyMap *dirty_map_new_with_span (guint64 size, guint64 coalesce,
                                   gsize memory_limit, guint span_shift);
