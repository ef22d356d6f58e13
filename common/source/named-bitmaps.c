/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "parts/parts.h"
#include "source/named-bitmaps.h"
#include "source/offer.h"

const char *
named_view (const SourceRequest *request)
{
  if (request->checkpoint || request->bitmaps->len == 0)
    return request->checkpoint;
  return g_ptr_array_index (request->bitmaps, 0);
}

Forest *
named_tree (const char *name, const char *bitmap, const GPtrArray *disks,
            const Checkpoint *known)
{
  Checkpoint *only = checkpoint_new (name);

  for (guint i = 0; i < disks->len; i++) {
    const Disk *disk = g_ptr_array_index (disks, i);
    checkpoint_cover (only, disk->target, bitmap);
  }
  return offer_single (only, known);
}

/* Nobody says of them that others go on where they end. */
static void
name_bitmaps (Disk *disk, const GPtrArray *names)
{
  disk->as_it_stood = true;
  disk->also = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 1; i < names->len; i++)
    g_ptr_array_add (disk->also, g_strdup (g_ptr_array_index (names, i)));
}

Forest *
named_bitmaps_tree (const SourceRequest *request, const Forest *tree,
                    const GPtrArray *disks, GError **error)
{
  const char *checkpoint = request->checkpoint;
  const Checkpoint *known
    = tree && checkpoint ? forest_lookup (tree, checkpoint) : NULL;

  if (tree && checkpoint && !known) {
    parts_unknown_checkpoint (tree, checkpoint, error);
    return NULL;
  }
  for (guint i = 0; i < disks->len; i++)
    name_bitmaps (g_ptr_array_index (disks, i), request->bitmaps);
  return named_tree (named_view (request),
                     g_ptr_array_index (request->bitmaps, 0), disks, known);
}
