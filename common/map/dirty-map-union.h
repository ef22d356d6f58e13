/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The union of dirty maps: dirty where any of them is.
 */
#pragma once

#include "map/dirty-map.h"

/* The state of a byte in the union of two maps that call it a and b.  Where one
 * says dirty and the other zero, it is dirty: one of them may have been made
 * coarser, and reading the byte is always right.
 */
static inline DirtyState
dirty_state_union (DirtyState a, DirtyState b)
{
  return a == DIRTY_MAP_DIRTY || b == DIRTY_MAP_DIRTY ? DIRTY_MAP_DIRTY
    : (DirtyState) (a | b);
}

/* Append length bytes to map: each in the union of `state` and of what `with`
 * calls it.  with: complete, and at least as large as map; NULL: all is clean
 * there.  same_bytes: state tells of the bytes that `with` tells of.  If not, a
 * zero of state's says nothing of those, and is plain dirty unless `with` says
 * zero, too.  Writer only; bytes beyond the end of map are ignored.
 */
void dirty_map_append_union (DirtyMap *map, const DirtyMap *with,
                             guint64 length, DirtyState state,
                             bool same_bytes);
