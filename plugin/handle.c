/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A client's export, and what a view that refuses clean reads lets it read:
 * what is dirty in any part of the view, since a filter may read through one
 * part what is dirty in another.
 */
#include <config.h>

#include "plugin/handle.h"

void
handle_free (Handle *handle)
{
  read_ahead_free (handle->ahead);
  if (handle->opened)
    open_part_release (handle->opened);
  g_clear_pointer (&handle->parts, g_ptr_array_unref);
  g_free (handle);
}

Handle *
handle_open (const Source *source, const Catalogue *catalogue,
             const Settings *settings, OpenParts *cache, const char *name,
             GError **error)
{
  g_autoptr (Handle) handle = g_new0 (Handle, 1);
  ExportChoice *choice = &handle->choice;

  if (!exports_resolve (catalogue, settings, name, choice, error))
    return NULL;
  const DiskView *view = choice->view;
  handle->view = export_choice_part (choice)->kind == PART_DISK
    ? view_of_disk () : settings->view;
  if (source->look_only)
    return g_steal_pointer (&handle);
  handle->opened = open_part_acquire (cache, view->disk,
                                      export_choice_part (choice), error);
  if (!handle->opened)
    return NULL;
  if (!handle->opened->direct)
    handle->ahead = read_ahead_new (handle->opened->pool,
                                    map_reader_map (handle->opened->reader));
  if (handle->view->refuses_clean) {
    handle->parts = open_part_acquire_all (cache, view->disk, view->parts,
                                           error);
    if (!handle->parts)
      return NULL;
  }
  return g_steal_pointer (&handle);
}

/* From offset on: how far is it dirty in this part? */
static guint64
dirty_until (const MapView *view, guint64 offset, guint64 end)
{
  guint64 next;

  while (offset < end
         && map_view_lookup (view, offset, end, &next) != DIRTY_MAP_CLEAN)
    offset = next;
  return offset;
}

int
handle_is_all_dirty (const Handle *handle, guint64 offset, guint64 end,
                     NbdBudget *budget, bool *all, GError **error)
{
  const guint count = handle->parts->len;
  g_autoptr (GArray) views = g_array_new (FALSE, TRUE, sizeof (MapView));
  guint64 before;

  g_array_set_clear_func (views, (GDestroyNotify) map_view_clear);
  g_array_set_size (views, count);
  for (guint i = 0; i < count; i++) {
    const OpenPart *part = g_ptr_array_index (handle->parts, i);
    const int failure
      = map_reader_need (part->reader, offset, end, budget,
                         &g_array_index (views, MapView, i), error);
    if (failure)
      return failure;
  }
  do {
    before = offset;
    for (guint i = 0; i < count; i++)
      offset = dirty_until (&g_array_index (views, MapView, i), offset, end);
  } while (offset > before && offset < end);
  *all = offset >= end;
  return 0;
}
