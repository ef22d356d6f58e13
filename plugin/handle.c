/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A client's export, and what a view that refuses clean reads lets it read:
 * what is dirty in any part of the view, since a filter may read through one
 * part what is dirty in another.
 */
#include <config.h>

#include "handle.h"

void
handle_free (Handle *handle)
{
  read_ahead_free (handle->ahead);
  if (handle->served)
    served_release (handle->cache, handle->served);
  g_clear_pointer (&handle->others, g_ptr_array_unref);
  export_choice_clear (&handle->choice);
  g_free (handle);
}

Handle *
handle_open (const Source *source, const Settings *settings,
             ServedCache *cache, const char *name, GError **error)
{
  g_autoptr (Handle) handle = g_new0 (Handle, 1);
  ExportChoice *choice = &handle->choice;

  handle->cache = cache;
  if (!exports_resolve (source, settings, name, choice, error))
    return NULL;
  if (source->look_only)
    return g_steal_pointer (&handle);
  handle->served = served_acquire (cache, choice->disk,
                                   export_choice_part (choice), error);
  if (!handle->served)
    return NULL;
  /* Those whose connections' requests come one by one. */
  if (!source->ops->direct)
    handle->ahead = read_ahead_new (handle->served->pool,
                                    map_reader_map (handle->served->reader));
  /* A part's reader may read what is dirty in another. */
  if (settings->view->refuses_clean && choice->parts->len > 1) {
    handle->others = served_acquire_all (cache, choice->disk, choice->parts,
                                         choice->part, error);
    if (!handle->others)
      return NULL;
  }
  return g_steal_pointer (&handle);
}

/* From offset on: how far is it dirty in this part?  Its map is known. */
static guint64
dirty_until (const Served *served, guint64 offset, guint64 end)
{
  const DirtyMap *map = map_reader_map (served->reader);
  guint64 next;

  while (offset < end
         && dirty_map_lookup (map, offset, end, &next) != DIRTY_MAP_CLEAN)
    offset = next;
  return offset;
}

bool
handle_is_all_dirty (const Handle *handle, guint64 offset, guint64 end)
{
  const guint others = handle->others ? handle->others->len : 0;
  guint64 before;

  do {
    before = offset;
    offset = dirty_until (handle->served, offset, end);
    for (guint i = 0; i < others; i++)
      offset = dirty_until (g_ptr_array_index (handle->others, i), offset,
                            end);
  } while (offset > before && offset < end);
  return offset >= end;
}

int
handle_need_all (const Handle *handle, guint64 end, GError **error)
{
  const guint others = handle->others ? handle->others->len : 0;
  int failure = map_reader_need (handle->served->reader, end, error);

  for (guint i = 0; !failure && i < others; i++) {
    const Served *other = g_ptr_array_index (handle->others, i);
    failure = map_reader_need (other->reader, end, error);
  }
  return failure;
}
