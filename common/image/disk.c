/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Make disks, layers and bitmaps, and look them up.
 */
#include <config.h>

#include <string.h>

#include "image/disk.h"

Bitmap *
bitmap_new (const char *name)
{
  Bitmap *bitmap = g_new0 (Bitmap, 1);

  bitmap->name = g_strdup (name);
  return bitmap;
}

static void
bitmap_free (void *data)
{
  Bitmap *bitmap = data;

  g_free (bitmap->name);
  g_free (bitmap);
}

Layer *
layer_new (const char *path)
{
  Layer *layer = g_new0 (Layer, 1);

  layer->path = g_strdup (path);
  layer->bitmaps = g_ptr_array_new_with_free_func (bitmap_free);
  return layer;
}

void
layer_free (Layer *layer)
{
  if (!layer)
    return;
  g_free (layer->path);
  g_free (layer->format);
  g_free (layer->backing_path);
  g_free (layer->backing_name);
  g_free (layer->backing_format);
  g_free (layer->node);
  g_free (layer->image);
  g_ptr_array_unref (layer->bitmaps);
  g_clear_pointer (&layer->void_names, g_ptr_array_unref);
  image_file_free (layer->file);
  image_file_free (layer->data);
  g_free (layer);
}

ToldImage *
told_image_new (const char *path, const char *format)
{
  ToldImage *image = g_new0 (ToldImage, 1);

  image->path = g_strdup (path);
  image->format = g_strdup (format);
  return image;
}

void
told_image_free (ToldImage *image)
{
  g_free (image->path);
  g_free (image->format);
  g_free (image);
}

Disk *
disk_new (const char *target)
{
  Disk *disk = g_new0 (Disk, 1);

  disk->target = g_strdup (target);
  disk->layers = g_ptr_array_new_with_free_func ((GDestroyNotify) layer_free);
  return disk;
}

void
disk_free (Disk *disk)
{
  if (!disk)
    return;
  g_free (disk->target);
  g_clear_error (&disk->useless);
  g_ptr_array_unref (disk->layers);
  g_clear_pointer (&disk->also, g_ptr_array_unref);
  g_clear_pointer (&disk->secrets, g_ptr_array_unref);
  g_free (disk->libvirt_uri);
  g_free (disk->job);
  g_free (disk);
}

const char *
layer_called (const Layer *layer)
{
  return layer->image ? layer->image : layer->path;
}

const Bitmap *
layer_bitmap (const Layer *layer, const char *name)
{
  for (guint i = 0; i < layer->bitmaps->len; i++) {
    const Bitmap *bitmap = g_ptr_array_index (layer->bitmaps, i);
    if (strcmp (bitmap->name, name) == 0)
      return bitmap;
  }
  return NULL;
}

bool
disk_names_lack (const GPtrArray *names, const char *bitmap)
{
  return names
    && !g_ptr_array_find_with_equal_func ((GPtrArray *) names, bitmap,
                                          g_str_equal, NULL);
}

bool
layer_may_have_lost (const Layer *layer, const char *bitmap)
{
  return layer->void_bitmaps && !disk_names_lack (layer->void_names, bitmap);
}

const Layer *
disk_void_layer (const Disk *disk)
{
  for (guint i = 0; i < disk->layers->len; i++)
    if (disk_layer (disk, i)->void_bitmaps)
      return disk_layer (disk, i);
  return NULL;
}

const Layer *
disk_layer (const Disk *disk, guint index)
{
  return g_ptr_array_index (disk->layers, index);
}

const Disk *
disk_find (const GPtrArray *disks, const char *target)
{
  for (guint i = 0; i < disks->len; i++) {
    const Disk *disk = g_ptr_array_index (disks, i);
    if (strcmp (disk->target, target) == 0)
      return disk;
  }
  return NULL;
}

guint
disk_deepest_with (const Disk *disk, const char *bitmap)
{
  guint deepest = disk->layers->len;

  for (guint i = 0; i < disk->layers->len; i++)
    if (layer_bitmap (disk_layer (disk, i), bitmap))
      deepest = i;
  return deepest;
}

bool
disk_has_ended (const Disk *disk)
{
  for (guint i = 0; i < disk->layers->len; i++) {
    const GPtrArray *bitmaps = disk_layer (disk, i)->bitmaps;
    for (guint j = 0; j < bitmaps->len; j++)
      if (!((const Bitmap *) g_ptr_array_index (bitmaps, j))->recording)
        return true;
  }
  return false;
}

GPtrArray *
disk_bitmap_names (const Disk *disk)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  GPtrArray *names = g_ptr_array_new ();

  for (guint i = 0; i < disk->layers->len; i++) {
    const Layer *layer = disk_layer (disk, i);
    for (guint j = 0; j < layer->bitmaps->len; j++) {
      const Bitmap *bitmap = g_ptr_array_index (layer->bitmaps, j);
      if (g_hash_table_add (seen, bitmap->name))
        g_ptr_array_add (names, bitmap->name);
    }
  }
  return names;
}
