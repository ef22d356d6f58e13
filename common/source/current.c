/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "parts/refuse.h"
#include "source/current.h"

static bool
may_have (const Disk *disk, const char *bitmap)
{
  return disk_deepest_with (disk, bitmap) < disk->layers->len
    || parts_may_be_lost (disk, bitmap);
}

/* False only if all of its disks are here, and none has its bitmap. */
static bool
may_be_on (const Checkpoint *checkpoint, const GPtrArray *disks)
{
  bool covers = false;

  for (guint i = 0; i < disks->len; i++) {
    const Disk *disk = g_ptr_array_index (disks, i);
    const char *bitmap = checkpoint_bitmap (checkpoint, disk->target);
    covers = covers || bitmap;
    if (bitmap && may_have (disk, bitmap))
      return true;
  }
  for (guint i = 0; i < checkpoint->disks->len; i++) {
    const CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, i);
    if (disk->bitmap && !disk_find (disks, disk->name))
      return true;
  }
  return !covers;
}

const Checkpoint *
current_on_disks (const Forest *forest, const GPtrArray *disks)
{
  const Checkpoint *current = forest_current (forest), *last = NULL;
  const GPtrArray *all = forest_all (forest);

  if (current && may_be_on (current, disks))
    return current;
  for (guint i = 0; i < all->len; i++) {
    const Checkpoint *at = g_ptr_array_index (all, i);
    if (!may_be_on (at, disks))
      continue;
    if (last && !forest_is_ancestor (last, at))
      return current;
    last = at;
  }
  return last ? last : current;
}
