/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * One pass over both maps, in ascending order.
 */
#include <config.h>

#include "map/dirty-map-union.h"

void
dirty_map_append_union (DirtyMap *map, const DirtyMap *with, guint64 length,
                        DirtyState state, bool same_bytes)
{
  const guint64 start = dirty_map_appended (map);
  const guint64 known = with ? dirty_map_frontier (with) : 0;
  guint64 offset = start;

  if (state == DIRTY_MAP_DIRTY || !with) {
    dirty_map_append (map, length, state);
    return;
  }
  /* What lies beyond the map is ignored, and may be beyond `with`, too. */
  const guint64 end = length > known - MIN (known, start)
    ? known : start + length;
  while (offset < end) {
    guint64 next;
    const DirtyState other = dirty_map_lookup (with, offset, end, &next);
    dirty_map_append (map, next - offset,
                      state == DIRTY_MAP_ZERO && !same_bytes
                      && other != DIRTY_MAP_ZERO
                      ? DIRTY_MAP_DIRTY : dirty_state_union (state, other));
    offset = next;
  }
}
