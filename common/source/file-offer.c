/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What is asked for decides: a checkpoint, bitmaps by their names, or, since
 * nothing, all of each disk.
 */
#include <config.h>

#include "source/file-offer.h"
#include "source/named-bitmaps.h"

/* Without a tree, each bitmap is a checkpoint.  One that no disk has is one,
 * too, if disks without a record are served whole: all are, then.
 */
static Forest *
flat_tree (const GPtrArray *disks, const char *whole)
{
  Forest *flat = parts_flat_tree (disks);

  if (!whole || forest_lookup (flat, whole))
    return flat;
  Checkpoint *lost = checkpoint_new (whole);
  for (guint i = 0; i < disks->len; i++) {
    const Disk *disk = g_ptr_array_index (disks, i);
    checkpoint_cover (lost, disk->target, whole);
  }
  forest_insert (flat, lost, NULL);
  return flat;
}

/* A full view of all disks, as of a running guest.  That one has no record is
 * said all the same: it may not be what was thought.  tree: taken; NULL: none.
 */
static Offer *
offer_all_whole (const Source *source, Forest *tree)
{
  Forest *none = forest_new ();

  for (guint i = 0; i < source->disks->len; i++) {
    Disk *disk = g_ptr_array_index (source->disks, i);
    g_autoptr (GPtrArray) names = disk_bitmap_names (disk);
    g_autoptr (GError) why = NULL;
    disk->full = true;
    if (!parts_can_record (disk, &why)
        || (!tree && names->len == 0 && !parts_nothing_recorded (disk, &why)))
      source_warn_whole (source, disk->target, why);
  }
  forest_link (none);
  return offer_new (none, tree ? tree : flat_tree (source->disks, NULL), NULL);
}

Offer *
file_offer (const Source *source, const SourceRequest *request, Forest *tree,
            GError **error)
{
  const char *since = named_view (request);
  const char *whole = request->on_missing_full ? since : NULL;

  if (request->on_missing_full && !since)
    return offer_all_whole (source, tree);
  if (request->bitmaps->len > 0) {
    Forest *named = named_bitmaps_tree (request, tree, source->disks, error);
    forest_free (tree);
    tree = named;
    if (!tree)
      return NULL;
  }
  Offer *offer = offer_new (tree ? tree : flat_tree (source->disks, whole),
                            NULL, NULL);
  offer->whole = g_strdup (whole);
  return offer;
}
