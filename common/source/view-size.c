/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "map/dirty-map-union.h"
#include "nbd/map-reader.h"
#include "source/view-size.h"

/* What is dirty in before (NULL: nothing), or in the part. */
static DirtyMap *
unite (Source *source, const Disk *disk, const Part *part,
       const DirtyMap *before, GError **error)
{
  g_auto (NbdEndpoint) endpoint = { 0 };
  if (!source->ops->endpoint (source, disk, part, &endpoint, error))
    return NULL;
  g_autoptr (NbdPool) pool = nbd_pool_open (&endpoint, true, error);
  if (!pool)
    return NULL;
  g_autoptr (MapReader) reader
    = map_reader_new (pool, NULL, &endpoint, false, 0);
  const guint64 size = nbd_pool_size (pool);
  NbdBudget budget = nbd_life_budget (source->life);
  g_auto (MapView) view = { 0 };
  if (map_reader_need (reader, 0, size, &budget, &view, error)) {
    if (error && !*error)
      error_set (error, EIO, "disk %s: its dirty map cannot be read",
                 disk->target);
    return NULL;
  }
  DirtyMap *map = dirty_map_new (size, 0, DIRTY_MAP_MEMORY_LIMIT);
  for (guint64 at = 0, end; at < size; at = end) {
    const DirtyState state = map_view_lookup (&view, at, size, &end);
    dirty_map_append_union (map, before, end - at, state, true);
  }
  return map;
}

bool
view_dirty_bytes (Source *source, const DiskView *view, guint64 *bytes,
                  GError **error)
{
  g_autoptr (DirtyMap) map = NULL;

  if (view->parts->len == 1
      && part_dirty_bytes (view->disk, g_ptr_array_index (view->parts, 0),
                           bytes))
    return true;
  for (guint i = 0; i < view->parts->len; i++) {
    DirtyMap *united = unite (source, view->disk,
                              g_ptr_array_index (view->parts, i), map, error);
    if (!united)
      return false;
    dirty_map_free (map);
    map = united;
  }
  *bytes = dirty_map_dirty_bytes (map);
  return true;
}
