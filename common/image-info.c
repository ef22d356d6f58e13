/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * json-glib aborts (by way of critical warnings) or returns defaults when a
 * member is of another type than asked for, so every type is tested first.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "error.h"
#include "image-info.h"
#include "json-text.h"

/* qcow2 allows 65,535 bitmaps (QEMU docs/interop/qcow2.txt). */
#define BITMAPS_LIMIT 65535

/* A document being read.  What is there but of another type than qemu-img
 * prints spoils it: to pass over it could pass over a bitmap's flag.
 */
typedef struct {
  Layer *layer;
  bool spoilt;
} Reader;

/* A member of that type, or NULL if it is absent. */
static JsonNode *
member (Reader *reader, JsonObject *object, const char *name, GType type)
{
  JsonNode *node = object ? json_object_get_member (object, name) : NULL;

  if (!node || json_node_get_value_type (node) == type)
    return node;
  reader->spoilt = true;
  return NULL;
}

static JsonObject *
member_object (Reader *reader, JsonObject *object, const char *name)
{
  JsonNode *node = member (reader, object, name, JSON_TYPE_OBJECT);

  return node ? json_node_get_object (node) : NULL;
}

static JsonArray *
member_array (Reader *reader, JsonObject *object, const char *name)
{
  JsonNode *node = member (reader, object, name, JSON_TYPE_ARRAY);

  return node ? json_node_get_array (node) : NULL;
}

static const char *
member_string (Reader *reader, JsonObject *object, const char *name)
{
  JsonNode *node = member (reader, object, name, G_TYPE_STRING);

  return node ? json_node_get_string (node) : NULL;
}

static bool
member_bool (Reader *reader, JsonObject *object, const char *name)
{
  JsonNode *node = member (reader, object, name, G_TYPE_BOOLEAN);

  return node && json_node_get_boolean (node);
}

/* False if it is absent. */
static bool
member_size (Reader *reader, JsonObject *object, const char *name,
             guint64 *size)
{
  JsonNode *node = member (reader, object, name, G_TYPE_INT64);
  const gint64 value = node ? json_node_get_int (node) : -1;

  /* json-glib 1.10 makes G_MAXINT64, which is no size, of what is larger. */
  if (value >= 0 && value < G_MAXINT64) {
    *size = (guint64) value;
    return true;
  }
  reader->spoilt = reader->spoilt || node;
  return false;
}

/* An array's element must be of the type, too. */
static bool
is_type (Reader *reader, JsonNode *node, GType type)
{
  if (json_node_get_value_type (node) == type)
    return true;
  reader->spoilt = true;
  return false;
}

static void
parse_bitmap (Reader *reader, JsonNode *node)
{
  if (!is_type (reader, node, JSON_TYPE_OBJECT))
    return;
  JsonObject *object = json_node_get_object (node);
  const char *name = member_string (reader, object, "name");
  JsonArray *flags = member_array (reader, object, "flags");

  if (!name || !flags) {
    reader->spoilt = true;
    return;
  }
  Bitmap *bitmap = bitmap_new (name);
  g_ptr_array_add (reader->layer->bitmaps, bitmap);
  /* Only shown to people: one that is none is not known. */
  Reader lenient = { reader->layer, false };
  member_size (&lenient, object, "granularity", &bitmap->granularity);
  for (guint i = 0; i < json_array_get_length (flags); i++) {
    JsonNode *flag = json_array_get_element (flags, i);
    if (!is_type (reader, flag, G_TYPE_STRING))
      return;
    if (strcmp (json_node_get_string (flag), "auto") == 0)
      bitmap->recording = true;
    else if (strcmp (json_node_get_string (flag), "in-use") == 0)
      bitmap->inconsistent = true;
  }
}

static bool
parse_format_specific (Reader *reader, JsonObject *root, GError **error)
{
  Layer *layer = reader->layer;
  JsonObject *data
    = member_object (reader, member_object (reader, root, "format-specific"),
                     "data");
  JsonArray *bitmaps = member_array (reader, data, "bitmaps");

  if (member_bool (reader, data, "corrupt"))
    return error_set (error, EINVAL, "%s is marked corrupt, so its bitmaps "
                      "prove nothing; repair it with: qemu-img check -r all "
                      "%s", layer->path, layer->path);
  if (member_bool (reader, root, "encrypted"))
    return error_set (error, EINVAL, "%s is encrypted, which file= cannot "
                      "read; export it with qemu-storage-daemon and its "
                      "secret, and use uri=", layer->path);
  if (bitmaps && json_array_get_length (bitmaps) > BITMAPS_LIMIT)
    return error_set (error, EINVAL, "%s: more than %d bitmaps, which qcow2 "
                      "does not allow; check it with: qemu-img check %s",
                      layer->path, BITMAPS_LIMIT, layer->path);
  for (guint i = 0; bitmaps && i < json_array_get_length (bitmaps); i++)
    parse_bitmap (reader, json_array_get_element (bitmaps, i));
  return true;
}

Layer *
image_info_parse (const char *text, gsize length, const char *path,
                  GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (Layer) layer = layer_new (path);
  Reader reader = { layer, false };
  JsonObject *root = json_text_parse (parser, text, length);
  const char *format = member_string (&reader, root, "format");
  const bool sized = member_size (&reader, root, "virtual-size",
                                  &layer->size);
  const char *backing = member_string (&reader, root,
                                       "full-backing-filename");
  if (!backing)
    backing = member_string (&reader, root, "backing-filename");
  layer->format = g_strdup (format);
  layer->backing_path = g_strdup (backing);
  layer->backing_format
    = g_strdup (member_string (&reader, root, "backing-filename-format"));
  if (!parse_format_specific (&reader, root, error))
    return NULL;
  if (!format || !sized || reader.spoilt) {
    error_set (error, EINVAL, "%s: cannot understand what qemu-img info says "
               "of it; is this qemu-img 7.2 or later?", path);
    return NULL;
  }
  return g_steal_pointer (&layer);
}
