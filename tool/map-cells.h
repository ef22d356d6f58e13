/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A map for a picture: a disk in cells of equal size, and how much of each is
 * dirty.  Nothing dirty gets lost: a cell with one dirty byte is not clean.
 */
#pragma once

#include "view/open-view.h"

typedef struct {
  guint64 dirty, zero;          /* bytes; zero: those of dirty that read so */
} MapCell;

typedef struct {
  guint64 size;                 /* the disk's, bytes */
  guint shift;                  /* a cell has 1 << shift bytes */
  guint count;
  MapCell *cells;
  guint64 dirty, zero;          /* in all */
  guint64 runs;                 /* dirty ones */
  bool in_run;
} MapCells;

/* At most so many cells, none of them smaller than least bytes. */
void map_cells_init (MapCells *cells, guint64 size, guint most, guint64 least);
void map_cells_clear (MapCells *cells);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (MapCells, map_cells_clear)

/* An OpenViewVisit; opaque: MapCells. */
bool map_cells_add (void *opaque, guint64 offset, guint64 length,
                    DirtyState state);

/* How a cell is drawn. */
typedef enum {
  CELL_CLEAN,
  CELL_ZERO_HALF,               /* only zeroes, up to half of it */
  CELL_ZERO,
  CELL_QUARTER,                 /* data, or both: so much is dirty, at most */
  CELL_HALF,
  CELL_THREE_QUARTERS,
  CELL_FULL,
  CELL_LEVELS
} CellLevel;

CellLevel map_cells_level (const MapCells *cells, guint index);
