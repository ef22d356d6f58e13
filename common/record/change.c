/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "record/change.h"

static void
bitmap_change_free (gpointer data)
{
  BitmapChange *change = data;

  g_free (change->name);
  g_free (change->from);
  g_free (change);
}

GPtrArray *
bitmap_changes_new (void)
{
  return g_ptr_array_new_with_free_func (bitmap_change_free);
}

BitmapChange *
bitmap_changes_add (GPtrArray *changes, BitmapAction action, const Disk *disk,
                    guint layer, const char *name)
{
  BitmapChange *change = g_new0 (BitmapChange, 1);

  change->action = action;
  change->disk = disk;
  change->layer = layer;
  change->name = g_strdup (name);
  g_ptr_array_add (changes, change);
  return change;
}
