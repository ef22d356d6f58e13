/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <string.h>

#include "record/bitmap-outcome.h"

#define DIFFERENCES_SHOWN 6

static Bitmap *
find (const Layer *layer, const char *name)
{
  return (Bitmap *) layer_bitmap (layer, name);
}

static void
heed (Layer *layer, const BitmapChange *change)
{
  Bitmap *bitmap = find (layer, change->name);

  switch (change->action) {
  case BITMAP_ADD:
    bitmap = bitmap_new (change->name);
    bitmap->granularity = change->granularity;
    bitmap->recording = change->recording;
    bitmap->counted = true;
    g_ptr_array_add (layer->bitmaps, bitmap);
    break;
  case BITMAP_MERGE:
    if (bitmap)
      bitmap->counted = false;
    break;
  case BITMAP_ENABLE:
    if (bitmap)
      bitmap->recording = true;
    break;
  case BITMAP_REMOVE:
    if (bitmap)
      g_ptr_array_remove (layer->bitmaps, bitmap);
    break;
  }
}

Layer *
bitmap_outcome (const GPtrArray *changes, const Disk *disk, guint layer)
{
  const Layer *before = disk_layer (disk, layer);
  Layer *after = layer_new (before->path);

  for (guint i = 0; i < before->bitmaps->len; i++) {
    const Bitmap *old = g_ptr_array_index (before->bitmaps, i);
    Bitmap *bitmap = bitmap_new (old->name);
    bitmap->granularity = old->granularity;
    bitmap->dirty_bytes = old->dirty_bytes;
    bitmap->counted = old->counted;
    bitmap->recording = old->recording;
    bitmap->inconsistent = old->inconsistent;
    g_ptr_array_add (after->bitmaps, bitmap);
  }
  for (guint i = 0; changes && i < changes->len; i++) {
    const BitmapChange *change = g_ptr_array_index (changes, i);
    if (change->disk == disk && change->layer == layer)
      heed (after, change);
  }
  return after;
}

static const char *
how_different (const Bitmap *expected, const Bitmap *found)
{
  if (!found)
    return "is not there";
  if (found->inconsistent != expected->inconsistent)
    return found->inconsistent ? "is inconsistent" : "is not inconsistent";
  if (found->recording != expected->recording && !found->inconsistent)
    return found->recording ? "records" : "does not record";
  if (expected->granularity != 0
      && found->granularity != expected->granularity)
    return "has another granularity";
  if (expected->counted && found->counted
      && found->dirty_bytes != expected->dirty_bytes)
    return "has other bits";
  return NULL;
}

/* One more for the text, or for the count of those that it leaves out. */
static void
add_word (GString *text, guint *count, const char *name, const char *how)
{
  if ((*count)++ < DIFFERENCES_SHOWN)
    g_string_append_printf (text, "%sbitmap %s %s", text->len > 0 ? ", " : "",
                            name, how);
}

char *
bitmap_difference (const Layer *expected, const Layer *found)
{
  g_autoptr (GString) text = g_string_new (NULL);
  guint count = 0;

  for (guint i = 0; i < expected->bitmaps->len; i++) {
    const Bitmap *bitmap = g_ptr_array_index (expected->bitmaps, i);
    const char *how = how_different (bitmap, find (found, bitmap->name));
    if (how)
      add_word (text, &count, bitmap->name, how);
  }
  for (guint i = 0; i < found->bitmaps->len; i++) {
    const Bitmap *bitmap = g_ptr_array_index (found->bitmaps, i);
    if (!find (expected, bitmap->name))
      add_word (text, &count, bitmap->name, "is there");
  }
  if (count > DIFFERENCES_SHOWN)
    g_string_append_printf (text, ", and %u more are not as they were to be",
                            count - DIFFERENCES_SHOWN);
  return count > 0 ? g_strdup (text->str) : NULL;
}
