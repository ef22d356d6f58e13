/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Fuzz what reads qemu-img's JSON, and plan a view for the bitmaps it finds:
 * none may rest on a bitmap that is inconsistent or does not record.  For
 * libFuzzer, or with replay.c for any compiler.
 */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <glib.h>

#include "image-info.h"
#include "parts.h"

#define PATH "/images/vda.qcow2"
#define MAX_BITMAPS 65535
/* Each plan looks at each bitmap. */
#define MAX_PLANS 16

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check_error (const GError *error)
{
  if (error == NULL || error->code == 0 || *error->message == '\0'
      || strpbrk (error->message, "\n\r") != NULL)
    g_error ("refused without one line saying why");
}

static void
check_layer (const Layer *layer)
{
  if (strcmp (layer->path, PATH) != 0 || layer->format == NULL
      || layer->size > G_MAXINT64 || layer->bitmaps->len > MAX_BITMAPS)
    g_error ("accepted with a strange layer");
  for (guint i = 0; i < layer->bitmaps->len; i++) {
    const Bitmap *bitmap = g_ptr_array_index (layer->bitmaps, i);
    if (bitmap->name == NULL || bitmap->granularity > G_MAXINT64
        || bitmap->counted)
      g_error ("accepted with a strange bitmap");
  }
}

static void
check_plan (const Forest *forest, const Disk *disk, const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) parts = parts_plan (forest, disk, name, &error);

  if (parts == NULL) {
    check_error (error);
    return;
  }
  if (parts->len != 1)
    g_error ("\"%s\" has %u parts", name, parts->len);
  const Part *part = g_ptr_array_index (parts, 0);
  if (part->layer != 0 || part->bitmap == NULL
      || strcmp (part->bitmap->name, name) != 0
      || !part->bitmap->recording || part->bitmap->inconsistent)
    g_error ("the view since \"%s\" is not complete", name);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (Layer) layer = NULL;

  g_log_set_always_fatal (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING);
  layer = image_info_parse ((const char *) data, size, PATH, &error);
  if (layer == NULL) {
    check_error (error);
    if (error->code != EINVAL)
      g_error ("refused with errno %d", error->code);
    return 0;
  }
  if (error != NULL)
    g_error ("accepted with an error: %s", error->message);
  check_layer (layer);

  g_autoptr (GPtrArray) disks
    = g_ptr_array_new_with_free_func ((GDestroyNotify) disk_free);
  Disk *disk = disk_new ("vda");
  g_ptr_array_add (disk->layers, g_steal_pointer (&layer));
  g_ptr_array_add (disks, disk);
  g_autoptr (Forest) forest = parts_flat_tree (disks);
  const GPtrArray *all = forest_all (forest);
  for (guint i = 0; i < all->len && i < MAX_PLANS; i++) {
    const Checkpoint *checkpoint = g_ptr_array_index (all, i);
    check_plan (forest, disk, checkpoint->name);
  }
  return 0;
}
