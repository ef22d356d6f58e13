/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * See parts-models.h.
 */
#include <config.h>

#include <stdarg.h>
#include <string.h>

#include "parts-models.h"

void
add_bitmap (Layer *layer, const char *text)
{
  g_autofree char *name = g_strdup (text);
  const gsize length = strlen (name);
  const char state = name[length - 1];

  if (state == '-' || state == '!')
    name[length - 1] = '\0';
  Bitmap *bitmap = bitmap_new (name);
  bitmap->granularity = 65536;
  bitmap->recording = state != '-';
  bitmap->inconsistent = state == '!';
  g_ptr_array_add (layer->bitmaps, bitmap);
}

Disk *
disk_of (const char *target, const char *const *layers)
{
  Disk *disk = disk_new (target);

  for (guint i = 0; layers[i]; i++) {
    g_autofree char *path = g_strdup_printf ("/l%u", i);
    g_auto (GStrv) bitmaps = g_strsplit (layers[i], " ", -1);
    Layer *layer = layer_new (path);

    layer->format = g_strdup ("qcow2");
    layer->size = 1048576;
    for (guint j = 0; bitmaps[j]; j++)
      if (*bitmaps[j])
        add_bitmap (layer, bitmaps[j]);
    g_ptr_array_add (disk->layers, layer);
  }
  return disk;
}

Checkpoint *
add_checkpoint (Forest *forest, const char *name, const char *parent)
{
  g_autoptr (GError) error = NULL;
  Checkpoint *checkpoint = checkpoint_new (name);

  checkpoint_set_parent_name (checkpoint, parent);
  g_assert_true (forest_add (forest, checkpoint, &error));
  g_assert_no_error (error);
  return checkpoint;
}

Forest *
tree (const char *text)
{
  g_auto (GStrv) items = g_strsplit (text, " ", -1);
  Forest *forest = forest_new ();

  for (guint i = 0; items[i]; i++) {
    char *target = strchr (items[i], '/');
    char *parent = strchr (items[i], '<');

    if (target)
      *target++ = '\0';
    if (parent)
      *parent++ = '\0';
    checkpoint_cover (add_checkpoint (forest, items[i], parent),
                      target ? target : "vda", items[i]);
  }
  forest_link (forest);
  return forest;
}

char *
parts_text (const GPtrArray *parts)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < parts->len; i++) {
    const Part *part = g_ptr_array_index (parts, i);
    g_string_append_printf (text, "%s%u:%s", i ? " " : "", part->layer,
                            part->bitmap ? part->bitmap->name : "-");
  }
  return g_string_free (text, FALSE);
}

void
assert_plan_sane (const Disk *disk, const GPtrArray *parts)
{
  g_assert_cmpuint (parts->len, >, 0);
  for (guint i = 0; i < parts->len; i++) {
    const Part *part = g_ptr_array_index (parts, i);

    g_assert_cmpuint (part->layer, <, disk->layers->len);
    if (part->bitmap) {
      g_assert_true (part->bitmap
                     == layer_bitmap (disk_layer (disk, part->layer),
                                      part->bitmap->name));
      g_assert_false (part->bitmap->inconsistent);
    }
    for (guint j = 0; j < i; j++) {
      const Part *above = g_ptr_array_index (parts, j);
      g_assert_cmpuint (above->layer, <=, part->layer);
      g_assert_false (above->layer == part->layer
                      && above->bitmap == part->bitmap);
    }
  }
}

void
assert_plan (const Forest *forest, const Disk *disk, const char *checkpoint,
             const char *expected)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) parts = parts_plan (forest, disk, checkpoint, &error);

  g_assert_no_error (error);
  g_assert_nonnull (parts);
  g_autofree char *text = parts_text (parts);
  g_assert_cmpstr (text, ==, expected);
  assert_plan_sane (disk, parts);
}

void
assert_refused (const Forest *forest, const Disk *disk,
                const char *checkpoint, int errnum, ...)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) parts = parts_plan (forest, disk, checkpoint, &error);
  const char *piece;
  va_list pieces;

  if (parts) {
    g_autofree char *text = parts_text (parts);
    g_error ("not refused: %s", text);
  }
  g_assert_error (error, CHECKPOINT_ERROR, errnum);
  g_autofree char *line = error_line (error, nbdkit_remedies);
  g_assert_null (strpbrk (line, "\r\n"));
  const char *at = line;
  va_start (pieces, errnum);
  while ((piece = va_arg (pieces, const char *))) {
    const char *found = strstr (at, piece);
    if (!found)
      g_error ("\"%s\" is not in \"%s\"", piece, at);
    at = found + strlen (piece);
  }
  va_end (pieces);
  g_assert_null (parts_plan (forest, disk, checkpoint, NULL));
}

bool
obey (Disk *disk, const GError *error)
{
  g_autofree char *line = error_line (error, nbdkit_remedies);
  const char *at = strstr (line, "--remove ");

  if (!at)
    return false;
  g_auto (GStrv) words = g_strsplit_set (at + strlen ("--remove "), " ,;", 3);
  g_assert_cmpuint (g_strv_length (words), >=, 2);
  for (guint i = 0; i < disk->layers->len; i++) {
    Layer *layer = g_ptr_array_index (disk->layers, i);
    const Bitmap *bitmap = layer_bitmap (layer, words[1]);
    if (strcmp (layer->path, words[0]) == 0 && bitmap)
      return g_ptr_array_remove (layer->bitmaps, (gpointer) bitmap);
  }
  g_error ("there is no bitmap %s in %s", words[1], words[0]);
}
