/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Open a disk's layers in a storage daemon.  The file and the image in it are
 * two nodes, as they fail for different reasons.  Source: QEMU 7.2
 * qapi/block-core.json.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <json-glib/json-glib.h>

#include "base/error.h"
#include "image/chain.h"
#include "qemu/storage-nodes.h"

/* Per layer, instead of QEMU's up to 32 MiB (qcow2's l2-cache-size): 8 GiB of
 * the disk at 64 KiB clusters.  What is read through it is mostly in order.
 */
#define L2_CACHE_SIZE (1024 * 1024)

char *
storage_node_name (const Disk *disk, guint layer)
{
  return g_strdup_printf ("d%" G_GINTPTR_MODIFIER "x-%u", (gsize) disk, layer);
}

/* A node of that driver, read-only, for blockdev-add. */
static JsonObject *
new_node (const char *driver, const char *name)
{
  JsonObject *node = json_object_new ();

  json_object_set_string_member (node, "driver", driver);
  json_object_set_string_member (node, "node-name", name);
  json_object_set_boolean_member (node, "read-only", true);
  return node;
}

/* QEMU is gone, which is not the image's fault. */
static bool
no_answer (const Layer *layer, const GError *refusal, GError **error)
{
  return error_set (error, refusal->code, "opening %s: %s", layer->path,
                    refusal->message);
}

static bool
add_file (Qmp *qmp, const Layer *layer, const char *name, bool uncached,
          GError **error)
{
  JsonObject *node = new_node (S_ISBLK (layer->stamp.st_mode)
                               ? "host_device" : "file", name);

  json_object_set_string_member (node, "filename", layer->path);
  if (uncached) {
    JsonObject *cache = json_object_new ();
    json_object_set_boolean_member (cache, "direct", true);
    json_object_set_object_member (node, "cache", cache);
  }
  return qmp_execute (qmp, "blockdev-add", node, NULL, error);
}

/* A file that cannot be read past the page cache is read through it: tmpfs, of
 * which that is the only copy, or a file system in user space.
 */
static bool
open_file (Qmp *qmp, const Layer *layer, const char *name, bool uncached,
           GError **error)
{
  g_autoptr (GError) refusal = NULL;

  if ((uncached && add_file (qmp, layer, name, true, NULL))
      || add_file (qmp, layer, name, false, &refusal))
    return true;
  if (refusal->code == EIO)
    return no_answer (layer, refusal, error);
  g_autofree char *user = error_user ();
  return error_set (error, refusal->code, "the private qemu-storage-daemon "
                    "cannot open %s: %s; may %s read it, also under a "
                    "security profile?", layer->path, refusal->message, user);
}

static bool
open_image (Qmp *qmp, const Disk *disk, guint index, const char *name,
            const char *file, GError **error)
{
  const Layer *layer = disk_layer (disk, index);
  JsonObject *node = new_node (layer->format, name);

  json_object_set_string_member (node, "file", file);
  if (strcmp (layer->format, "qcow2") == 0) {
    json_object_set_int_member (node, "l2-cache-size", L2_CACHE_SIZE);
    if (index + 1 < disk->layers->len) {
      g_autofree char *below = storage_node_name (disk, index + 1);
      json_object_set_string_member (node, "backing", below);
    }
    else
      json_object_set_null_member (node, "backing");
  }
  return qmp_execute (qmp, "blockdev-add", node, NULL, error);
}

static bool
open_layer (Qmp *qmp, const Disk *disk, guint index, bool uncached,
            GError **error)
{
  const Layer *layer = disk_layer (disk, index);
  g_autofree char *name = storage_node_name (disk, index);
  g_autofree char *file = g_strconcat ("f", name, NULL);
  g_autoptr (GError) refusal = NULL;

  if (!open_file (qmp, layer, file, uncached, error))
    return false;
  if (open_image (qmp, disk, index, name, file, &refusal))
    return image_chain_unchanged (layer, error);
  if (refusal->code == EIO)
    return no_answer (layer, refusal, error);
  g_autofree char *word = error_shell_word (layer->path);
  return error_set (error, refusal->code, "QEMU cannot read %s: %s; is the "
                    "image whole?  Try: qemu-img check -f %s %s", layer->path,
                    refusal->message, layer->format, word);
}

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
  /* QEMU reads the header, too: both must find the same end of the chain. */
  if (!layer->backing_path && json_object_has_member (image,
                                                      "backing-filename")) {
    g_autofree char *word = error_shell_word (layer->path);
    return error_set (error, EINVAL, "%s: QEMU finds a backing file where this "
                      "plugin finds none; check it with: qemu-img info %s",
                      layer->path, word);
  }
  layer->size = (guint64) size;
  g_ptr_array_set_size (layer->bitmaps, 0);
  if (!json_object_has_member (node, "dirty-bitmaps"))
    return true;
  JsonArray *bitmaps = json_object_get_array_member (node, "dirty-bitmaps");
  for (guint i = 0; i < json_array_get_length (bitmaps); i++) {
    Bitmap *bitmap
      = bitmap_from_qmp (json_array_get_object_element (bitmaps, i));
    bitmap->dirty_bytes = MIN (bitmap->dirty_bytes, layer->size);
    g_ptr_array_add (layer->bitmaps, bitmap);
  }
  return true;
}

static bool
describe_layers (Qmp *qmp, Disk *disk, GError **error)
{
  g_autoptr (JsonNode) answer = NULL;
  JsonObject *arguments = json_object_new ();

  json_object_set_boolean_member (arguments, "flat", true);
  if (!qmp_execute (qmp, "query-named-block-nodes", arguments, &answer, error))
    return false;
  for (guint i = 0; i < disk->layers->len; i++) {
    g_autofree char *name = storage_node_name (disk, i);
    JsonObject *node = find_node (json_node_get_array (answer), name);
    if (!describe_layer (g_ptr_array_index (disk->layers, i), node, error))
      return false;
  }
  return true;
}

bool
storage_nodes_open (Qmp *qmp, Disk *disk, bool uncached, GError **error)
{
  for (guint i = disk->layers->len; i > 0; i--) {
    if (open_layer (qmp, disk, i - 1, uncached, error))
      continue;
    if (i > 1)
      g_prefix_error (error, "backing file of %s: ",
                      disk_layer (disk, i - 2)->path);
    return false;
  }
  return describe_layers (qmp, disk, error);
}
