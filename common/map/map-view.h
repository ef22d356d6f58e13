/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What is known of a stretch of the disk: from the whole map, or from a map of
 * this stretch only.
 */
#pragma once

#include "map/dirty-map-walk.h"

typedef struct {
  const DirtyMap *map;          /* NULL: of nothing */
  guint64 base;                 /* where on the disk map begins */
  DirtyMap *own;                /* map, if it is of this stretch only; owned */
} MapView;

/* As dirty_map_lookup, within what was asked for.  All offsets are the disk's.
 */
static inline DirtyState
map_view_lookup (const MapView *view, guint64 offset, guint64 limit,
                 guint64 *end)
{
  const DirtyState state
    = dirty_map_lookup (view->map, offset - view->base, limit - view->base,
                        end);

  *end += view->base;
  return state;
}

/* As dirty_map_walk, likewise. */
static inline bool
map_view_walk (const MapView *view, guint64 offset, guint64 limit,
               DirtyRun *run, DirtyMapVisit visit, void *opaque)
{
  return dirty_map_walk (view->map, view->base, offset, limit, run, visit,
                         opaque);
}

static inline void
map_view_clear (MapView *view)
{
  g_clear_pointer (&view->own, dirty_map_free);
  view->map = NULL;
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (MapView, map_view_clear)
