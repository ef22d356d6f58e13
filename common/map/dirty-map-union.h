/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The union of dirty maps: dirty where any of them is.
 */
#ifndef COMMON_MAP_DIRTY_MAP_UNION_H
#define COMMON_MAP_DIRTY_MAP_UNION_H

#include "map/dirty-map.h"

/* What a byte is that two maps call a and b: clean if it is in both, dirty
 * and zero only if neither calls it plain dirty.  (Two maps of one disk may
 * differ in "zero" where one had to be made coarser; reading is always right.)
 */
static inline DirtyState
dirty_state_union (DirtyState a, DirtyState b)
{
  return a == DIRTY_MAP_DIRTY || b == DIRTY_MAP_DIRTY ? DIRTY_MAP_DIRTY
    : (DirtyState) (a | b);
}

/* Append to map the union of `with` and of length bytes in this state, for
 * the bytes that come next in map.  with: complete, of the same size or
 * larger; NULL is a map without a dirty byte.  same_bytes: both are of the same
 * bytes; else only what `with` calls zero is, and what only state calls so is
 * plain dirty.  As dirty_map_append otherwise: writer only, bytes beyond the
 * map's size are ignored.
 */
void dirty_map_append_union (DirtyMap *map, const DirtyMap *with,
                             guint64 length, DirtyState state,
                             bool same_bytes);

#endif /* COMMON_MAP_DIRTY_MAP_UNION_H */
