/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A map that begins somewhere on the disk, looked up by the disk's offsets.
 */
#include <config.h>

#include "map/map-view.h"

DirtyState
map_view_lookup (const MapView *view, guint64 offset, guint64 limit,
                 guint64 *end)
{
  const DirtyState state
    = dirty_map_lookup (view->map, offset - view->base, limit - view->base,
                        end);

  *end += view->base;
  return state;
}

void
map_view_clear (MapView *view)
{
  g_clear_pointer (&view->own, dirty_map_free);
  view->map = NULL;
}
