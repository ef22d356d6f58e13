/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What QEMU tells of the nodes of a disk's layers.  Source: QEMU 7.2
 * qapi/block-core.json.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <json-glib/json-glib.h>

#include "base/error.h"
#include "qemu/storage-describe.h"
#include "qemu/storage-nodes.h"

/* One entry of query-named-block-nodes' "dirty-bitmaps" (BlockDirtyInfo). */
static Bitmap *
bitmap_from_qmp (JsonObject *object)
{
  Bitmap *bitmap = bitmap_new (
    json_object_get_string_member_with_default (object, "name", ""));

  bitmap->granularity = (guint64)
    json_object_get_int_member_with_default (object, "granularity", 0);
  bitmap->dirty_bytes = (guint64)
    json_object_get_int_member_with_default (object, "count", 0);
  bitmap->counted = true;
  bitmap->recording
    = json_object_get_boolean_member_with_default (object, "recording", FALSE);
  bitmap->inconsistent
    = json_object_get_boolean_member_with_default (object, "inconsistent",
                                                   FALSE);
  return bitmap;
}

static JsonObject *
find_node (JsonArray *nodes, const char *wanted)
{
  for (guint i = 0; i < json_array_get_length (nodes); i++) {
    JsonObject *object = json_array_get_object_element (nodes, i);
    const char *name = json_object_get_string_member_with_default (
      object, "node-name", "");
    if (strcmp (name, wanted) == 0)
      return object;
  }
  return NULL;
}

/* ImageInfoSpecificQCow2; "data-file" is there also if it is of no use. */
static bool
tells_data_file (JsonObject *image)
{
  JsonObject *specific = json_object_has_member (image, "format-specific")
    ? json_object_get_object_member (image, "format-specific") : NULL;
  JsonObject *data = specific && json_object_has_member (specific, "data")
    ? json_object_get_object_member (specific, "data") : NULL;

  return data && json_object_has_member (data, "data-file-raw");
}

/* QEMU reads the image, too: both must find the same names in it. */
static bool
check_names (const Layer *layer, JsonObject *image, GError **error)
{
  const bool backing = !layer->backing_path
    && json_object_has_member (image, "backing-filename");

  if (!backing && (layer->data || !tells_data_file (image)))
    return true;
  if (backing && strcmp (layer->format, "qcow2") != 0)
    return error_set (error, ENOTSUP, "%s has a parent, %s, which is not "
                      "followed from a %s image", layer->path,
                      json_object_get_string_member_with_default (
                        image, "backing-filename", ""), layer->format)
      || error_advise (error, REMEDY_EXPORT_DISK, NULL);
  g_autofree char *word = error_shell_word (layer->path);
  return error_set (error, EINVAL, "%s: QEMU finds a %s file where this plugin "
                    "finds none; check it with: qemu-img info %s", layer->path,
                    backing ? "backing" : "data", word);
}

/* In the place of those that it has. */
static void
add_bitmaps (Layer *layer, JsonObject *node)
{
  g_ptr_array_set_size (layer->bitmaps, 0);
  if (!json_object_has_member (node, "dirty-bitmaps"))
    return;
  JsonArray *bitmaps = json_object_get_array_member (node, "dirty-bitmaps");
  for (guint i = 0; i < json_array_get_length (bitmaps); i++) {
    Bitmap *bitmap
      = bitmap_from_qmp (json_array_get_object_element (bitmaps, i));
    bitmap->dirty_bytes = MIN (bitmap->dirty_bytes, layer->size);
    g_ptr_array_add (layer->bitmaps, bitmap);
  }
}

/* node is a BlockDeviceInfo, its "image" an ImageInfo. */
static bool
describe_layer (Layer *layer, JsonObject *node, GError **error)
{
  JsonObject *image = node && json_object_has_member (node, "image")
    ? json_object_get_object_member (node, "image") : NULL;
  const gint64 size = image
    ? json_object_get_int_member_with_default (image, "virtual-size", -1) : -1;

  if (size < 0)
    return error_set (error, EIO, "%s: the private qemu-storage-daemon does "
                      "not say how large it is; is it QEMU 7.2 or later?",
                      layer->path);
  if (!check_names (layer, image, error))
    return false;
  layer->size = (guint64) size;
  layer->cluster_size = (guint64)
    json_object_get_int_member_with_default (image, "cluster-size", 0);
  add_bitmaps (layer, node);
  return true;
}

/* We name all that we have QEMU open, so it has named the others by itself.  A
 * server may answer QEMU's driver with other bytes than us: with a vmdk or
 * qcow2 that names a file.
 */
static bool
check_all_ours (const Disk *disk, JsonArray *all, GError **error)
{
  for (guint i = 0; i < json_array_get_length (all); i++) {
    JsonObject *object = json_array_get_object_element (all, i);
    const char *name = json_object_get_string_member_with_default (
      object, "node-name", "");
    if (*name == '#')
      return error_set (error, EINVAL, "disk %s: QEMU has opened %s, which "
                        "nobody has named; one of the disk's images must have "
                        "changed while it was being opened", disk->target,
                        json_object_get_string_member_with_default (
                          object, "file", "a file"));
  }
  return true;
}

static JsonNode *
query (Qmp *qmp, GError **error)
{
  JsonObject *arguments = json_object_new ();
  JsonNode *answer = NULL;

  json_object_set_boolean_member (arguments, "flat", true);
  qmp_execute (qmp, "query-named-block-nodes", arguments, &answer, error);
  return answer;
}

bool
storage_nodes_describe (Qmp *qmp, Disk *disk, GError **error)
{
  g_autoptr (JsonNode) answer = query (qmp, error);

  if (!answer)
    return false;
  JsonArray *all = json_node_get_array (answer);
  for (guint i = 0; i < disk->layers->len; i++) {
    g_autofree char *name = storage_node_name (disk, i);
    JsonObject *node = find_node (all, name);
    if (!describe_layer (g_ptr_array_index (disk->layers, i), node, error))
      return false;
  }
  return check_all_ours (disk, all, error);
}

Layer *
storage_nodes_bitmaps (Qmp *qmp, const Disk *disk, guint layer, GError **error)
{
  g_autoptr (JsonNode) answer = query (qmp, error);
  g_autofree char *name = storage_node_name (disk, layer);
  g_autoptr (Layer) found = layer_new (disk_layer (disk, layer)->path);
  JsonObject *node
    = answer ? find_node (json_node_get_array (answer), name) : NULL;

  if (!answer)
    return NULL;
  if (!node)
    return error_null (error, EIO, "%s: the private qemu-storage-daemon has "
                       "lost it", found->path);
  found->size = disk_layer (disk, layer)->size;
  add_bitmaps (found, node);
  return g_steal_pointer (&found);
}
