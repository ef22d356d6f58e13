/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "tool/map-cells.h"

#define SHIFT_LEAST 9
#define SHIFT_MOST 62

static guint64
count_at (guint64 size, guint shift)
{
  return size == 0 ? 0 : ((size - 1) >> shift) + 1;
}

void
map_cells_init (MapCells *cells, guint64 size, guint most, guint64 least)
{
  *cells = (MapCells) { .size = size, .shift = SHIFT_LEAST };
  while (cells->shift < SHIFT_MOST
         && (count_at (size, cells->shift) > most
             || (G_GUINT64_CONSTANT (1) << cells->shift) < least))
    cells->shift++;
  cells->count = (guint) count_at (size, cells->shift);
  cells->cells = g_new0 (MapCell, cells->count);
}

void
map_cells_clear (MapCells *cells)
{
  g_clear_pointer (&cells->cells, g_free);
  cells->count = 0;
}

bool
map_cells_add (void *opaque, guint64 offset, guint64 length, DirtyState state)
{
  MapCells *cells = opaque;
  const guint64 end = offset + length;

  if (state == DIRTY_MAP_CLEAN) {
    cells->in_run = false;
    return true;
  }
  cells->runs += !cells->in_run;
  cells->in_run = true;
  cells->dirty += length;
  cells->zero += state == DIRTY_MAP_ZERO ? length : 0;
  for (guint64 i = offset >> cells->shift; offset < end; i++) {
    const guint64 bytes = MIN (end, (i + 1) << cells->shift) - offset;
    cells->cells[i].dirty += bytes;
    cells->cells[i].zero += state == DIRTY_MAP_ZERO ? bytes : 0;
    offset += bytes;
  }
  return true;
}

CellLevel
map_cells_level (const MapCells *cells, guint index)
{
  const MapCell *cell = &cells->cells[index];
  const guint64 begin = (guint64) index << cells->shift;
  const guint64 length
    = MIN (cells->size - begin, G_GUINT64_CONSTANT (1) << cells->shift);

  if (cell->dirty == 0)
    return CELL_CLEAN;
  if (cell->dirty == cell->zero)
    return cell->zero > length / 2 ? CELL_ZERO : CELL_ZERO_HALF;
  const guint64 quarter = (length + 3) / 4;
  return CELL_QUARTER + (CellLevel) MIN (3, (cell->dirty - 1) / quarter);
}
