/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "record/plan.h"

bool
plan_can_record (const Disk *disk, GError **error)
{
  const Layer *top = disk_layer (disk, 0);

  if (parts_can_record (disk, NULL))
    return true;
  error_set (error, ENOTSUP, "checkpoint for disk %s unsupported for storage "
             "type %s: only qcow2 holds dirty bitmaps, and %s is none",
             disk->target, top->format ? top->format : "unknown", top->path);
  return error_advise (error, REMEDY_COVER_OTHERS, disk->target, NULL);
}

static bool
check_free (const Disk *disk, const char *name, GError **error)
{
  for (guint i = 0; i < disk->layers->len; i++) {
    const Layer *layer = disk_layer (disk, i);
    if (!layer_bitmap (layer, name))
      continue;
    error_set (error, EEXIST, "disk %s: a bitmap named %s is in %s already, "
               "and no checkpoint of that name is known", disk->target, name,
               layer->path);
    return error_advise (error, REMEDY_STRAY_BITMAP, name, NULL);
  }
  return true;
}

GPtrArray *
plan_create (const GPtrArray *disks, const Checkpoint *checkpoint,
             GError **error)
{
  g_autoptr (GPtrArray) changes = bitmap_changes_new ();

  for (guint i = 0; i < disks->len; i++) {
    const Disk *disk = g_ptr_array_index (disks, i);
    const char *name = checkpoint_bitmap (checkpoint, disk->target);
    if (!name)
      continue;
    if (!plan_can_record (disk, error) || !check_free (disk, name, error))
      return NULL;
    bitmap_changes_add (changes, BITMAP_ADD, disk, 0, name)->recording = true;
  }
  return g_steal_pointer (&changes);
}
