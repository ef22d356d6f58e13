/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What is to be begun, as a structure and as a text between two processes.
 */
#include <config.h>

#include <string.h>

#include "base/json-text.h"
#include "base/own-folder.h"
#include "qemu/fleece.h"

static void
bitmap_free (gpointer data)
{
  FleeceBitmap *bitmap = data;

  g_free (bitmap->node);
  g_free (bitmap->name);
  g_free (bitmap);
}

static void
part_free (gpointer data)
{
  FleecePart *part = data;

  g_free (part->node);
  g_free (part->image);
  g_ptr_array_unref (part->bitmaps);
  g_free (part);
}

static void
fleece_disk_free (gpointer data)
{
  FleeceDisk *disk = data;

  g_free (disk->target);
  g_free (disk->node);
  g_free (disk->state);
  g_free (disk->folder);
  g_free (disk->since);
  g_ptr_array_unref (disk->bitmaps);
  g_free (disk->image);
  g_ptr_array_unref (disk->parts);
  g_free (disk);
}

Fleece *
fleece_new (void)
{
  Fleece *fleece = g_new0 (Fleece, 1);

  fleece->disks = g_ptr_array_new_with_free_func (fleece_disk_free);
  return fleece;
}

void
fleece_free (Fleece *fleece)
{
  if (!fleece)
    return;
  g_free (fleece->mark);
  g_free (fleece->folder);
  g_free (fleece->create);
  g_free (fleece->document);
  g_free (fleece->tree);
  g_free (fleece->inner);
  g_ptr_array_unref (fleece->disks);
  g_free (fleece);
}

FleeceDisk *
fleece_add_disk (Fleece *fleece, const char *target, const char *node)
{
  FleeceDisk *disk = g_new0 (FleeceDisk, 1);

  disk->target = g_strdup (target);
  disk->node = g_strdup (node);
  disk->bitmaps = g_ptr_array_new_with_free_func (bitmap_free);
  disk->parts = g_ptr_array_new_with_free_func (part_free);
  g_ptr_array_add (fleece->disks, disk);
  return disk;
}

FleecePart *
fleece_add_part (FleeceDisk *disk, const char *node, guint64 size)
{
  FleecePart *part = g_new0 (FleecePart, 1);

  part->node = g_strdup (node);
  part->size = size;
  part->bitmaps = g_ptr_array_new_with_free_func (bitmap_free);
  g_ptr_array_add (disk->parts, part);
  return part;
}

static void
add_bitmap (GPtrArray *bitmaps, const char *node, const char *name)
{
  FleeceBitmap *bitmap = g_new0 (FleeceBitmap, 1);

  bitmap->node = g_strdup (node);
  bitmap->name = g_strdup (name);
  g_ptr_array_add (bitmaps, bitmap);
}

void
fleece_add_bitmap (GPtrArray *bitmaps, guint64 *granularity, const char *node,
                   const Bitmap *bitmap)
{
  add_bitmap (bitmaps, node, bitmap->name);
  if (!*granularity || bitmap->granularity < *granularity)
    *granularity = bitmap->granularity;
}

/* No target has a slash. */
char *
fleece_part_name (const FleeceDisk *disk, guint part)
{
  return g_strdup_printf ("%s/%u", disk->target, part);
}

char *
fleece_socket (const Fleece *fleece)
{
  return g_build_filename (fleece->folder, OWN_SOCKET, NULL);
}

/* ── As a text ── */

static void
set_text (JsonObject *object, const char *name, const char *text)
{
  if (text)
    json_object_set_string_member (object, name, text);
}

static void
format_bitmaps (JsonObject *object, const GPtrArray *bitmaps)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < bitmaps->len; i++) {
    const FleeceBitmap *bitmap = g_ptr_array_index (bitmaps, i);
    JsonObject *one = json_object_new ();
    set_text (one, "node", bitmap->node);
    set_text (one, "name", bitmap->name);
    json_array_add_object_element (array, one);
  }
  json_object_set_array_member (object, "bitmaps", array);
}

static JsonObject *
format_part (const FleecePart *part)
{
  JsonObject *object = json_object_new ();

  set_text (object, "node", part->node);
  json_object_set_int_member (object, "size", (gint64) part->size);
  json_object_set_int_member (object, "granularity",
                              (gint64) part->granularity);
  format_bitmaps (object, part->bitmaps);
  return object;
}

static JsonObject *
format_disk (const FleeceDisk *disk)
{
  JsonObject *object = json_object_new ();
  JsonArray *parts = json_array_new ();

  set_text (object, "target", disk->target);
  set_text (object, "node", disk->node);
  set_text (object, "state", disk->state);
  set_text (object, "folder", disk->folder);
  set_text (object, "since", disk->since);
  json_object_set_int_member (object, "size", (gint64) disk->size);
  json_object_set_int_member (object, "granularity",
                              (gint64) disk->granularity);
  json_object_set_boolean_member (object, "record", disk->record);
  format_bitmaps (object, disk->bitmaps);
  for (guint i = 0; i < disk->parts->len; i++)
    json_array_add_object_element (
      parts, format_part (g_ptr_array_index (disk->parts, i)));
  json_object_set_array_member (object, "parts", parts);
  return object;
}

char *
fleece_format (const Fleece *fleece)
{
  g_autoptr (JsonNode) root = json_node_new (JSON_NODE_OBJECT);
  JsonObject *object = json_object_new ();
  JsonArray *disks = json_array_new ();

  set_text (object, "mark", fleece->mark);
  set_text (object, "folder", fleece->folder);
  set_text (object, "create", fleece->create);
  set_text (object, "document", fleece->document);
  set_text (object, "tree", fleece->tree);
  set_text (object, "inner", fleece->inner);
  json_object_set_boolean_member (object, "take-over", fleece->take_over);
  for (guint i = 0; i < fleece->disks->len; i++)
    json_array_add_object_element (
      disks, format_disk (g_ptr_array_index (fleece->disks, i)));
  json_object_set_array_member (object, "disks", disks);
  json_node_take_object (root, object);
  return json_to_string (root, FALSE);
}

static char *
get_text (JsonObject *object, const char *name)
{
  return g_strdup (json_text_string (object, name, NULL));
}

static void
parse_bitmaps (GPtrArray *bitmaps, JsonObject *object)
{
  JsonArray *array = json_text_array (object, "bitmaps");

  for (guint i = 0; array && i < json_array_get_length (array); i++) {
    JsonObject *one = json_text_element (array, i);
    add_bitmap (bitmaps, json_text_string (one, "node", ""),
                json_text_string (one, "name", ""));
  }
}

/* One that tells nothing would call all of it clean. */
static bool
parse_part (FleeceDisk *disk, JsonObject *object)
{
  FleecePart *part
    = fleece_add_part (disk, json_text_string (object, "node", NULL),
                       (guint64) json_text_int (object, "size"));

  part->granularity = (guint64) json_text_int (object, "granularity");
  parse_bitmaps (part->bitmaps, object);
  return part->node || part->bitmaps->len > 0;
}

static bool
parse_disk (Fleece *fleece, JsonObject *object)
{
  FleeceDisk *disk
    = fleece_add_disk (fleece, json_text_string (object, "target", NULL),
                       json_text_string (object, "node", NULL));
  JsonArray *parts = json_text_array (object, "parts");
  bool ok = true;

  disk->state = get_text (object, "state");
  disk->folder = get_text (object, "folder");
  disk->since = get_text (object, "since");
  disk->size = (guint64) json_text_int (object, "size");
  disk->granularity = (guint64) json_text_int (object, "granularity");
  disk->record = json_text_true (object, "record");
  parse_bitmaps (disk->bitmaps, object);
  for (guint i = 0; ok && parts && i < json_array_get_length (parts); i++)
    ok = parse_part (disk, json_text_element (parts, i));
  return ok && (!disk->since || disk->bitmaps->len > 0 || disk->parts->len > 0)
    && disk->target && disk->node && disk->state && disk->folder;
}

Fleece *
fleece_parse (const char *text)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonObject *object = json_text_parse (parser, text, strlen (text));
  JsonArray *disks = json_text_array (object, "disks");
  g_autoptr (Fleece) fleece = fleece_new ();
  bool ok = disks != NULL;

  fleece->mark = get_text (object, "mark");
  fleece->folder = get_text (object, "folder");
  fleece->create = get_text (object, "create");
  fleece->document = get_text (object, "document");
  fleece->tree = get_text (object, "tree");
  fleece->inner = get_text (object, "inner");
  fleece->take_over = json_text_true (object, "take-over");
  for (guint i = 0; ok && i < json_array_get_length (disks); i++)
    ok = parse_disk (fleece, json_text_element (disks, i));
  return ok && fleece->mark && own_folder_is_name (fleece->mark)
    && fleece->folder ? g_steal_pointer (&fleece) : NULL;
}

/* ── What it rests on ── */

static int
compare_texts (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

static void
add_layer (GString *text, const Layer *layer, const char *but)
{
  g_autoptr (GPtrArray) bitmaps = g_ptr_array_new_with_free_func (g_free);

  g_string_append_printf (text, "%s %" G_GUINT64_FORMAT, layer->node,
                          layer->size);
  for (guint i = 0; i < layer->bitmaps->len; i++) {
    const Bitmap *bitmap = g_ptr_array_index (layer->bitmaps, i);
    if (g_strcmp0 (bitmap->name, but) != 0)
      g_ptr_array_add (bitmaps, g_strdup_printf (
        "\n %s %d %d", bitmap->name, bitmap->recording,
        bitmap->inconsistent));
  }
  g_ptr_array_sort (bitmaps, compare_texts);
  for (guint i = 0; i < bitmaps->len; i++)
    g_string_append (text, g_ptr_array_index (bitmaps, i));
  g_string_append_c (text, '\n');
}

char *
fleece_state (const Disk *disk, const char *but)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < disk->layers->len; i++)
    add_layer (text, disk_layer (disk, i), but);
  return g_string_free (text, FALSE);
}
