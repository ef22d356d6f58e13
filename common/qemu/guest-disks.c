/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Source: QEMU 7.2 qapi/block-core.json (BlockInfo, BlockDeviceInfo,
 * BlockDirtyInfo).
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/json-text.h"
#include "image/unlocked.h"
#include "qemu/block-graph.h"
#include "qemu/fleece-kept.h"
#include "qemu/guest-disks.h"

/* The longest chain that QEMU opens is a few hundred. */
#define LAYERS_LIMIT 1000

typedef struct {
  const Monitor *monitor;
  const BlockGraph *graph;
  JsonArray *jobs;              /* BlockJobInfo */
  GPtrArray *disks;             /* of Disk */
} Looking;

static void
add_bitmap (Layer *layer, JsonObject *told)
{
  if (!json_text_true (told, "persistent"))
    return;
  Bitmap *bitmap = bitmap_new (json_text_string (told, "name", ""));
  bitmap->granularity = (guint64) json_text_int (told, "granularity");
  bitmap->dirty_bytes
    = MIN ((guint64) json_text_int (told, "count"), layer->size);
  bitmap->counted = true;
  bitmap->recording = json_text_true (told, "recording");
  bitmap->busy = json_text_true (told, "busy");
  bitmap->inconsistent = json_text_true (told, "inconsistent");
  g_ptr_array_add (layer->bitmaps, bitmap);
}

/* Options of the file below make the image's own name JSON. */
static char *
path_of (const Looking *looking, const char *node, JsonObject *info)
{
  const char *file = json_text_string (info, "file", "");
  const char *below = block_graph_child (looking->graph, node, "file");

  if (below && g_str_has_prefix (file, "json:"))
    file = json_text_string (block_graph_info (looking->graph, below), "file",
                             file);
  return monitor_path (looking->monitor, file);
}

static bool
is_version_2 (JsonObject *image)
{
  JsonObject *specific = json_text_object (image, "format-specific");
  JsonObject *data = json_text_object (specific, "data");

  return strcmp (json_text_string (specific, "type", ""), "qcow2") == 0
    && strcmp (json_text_string (data, "compat", ""), "0.10") == 0;
}

static bool
add_layer (const Looking *looking, Disk *disk, const char *node,
           GError **error)
{
  JsonObject *info = block_graph_info (looking->graph, node);
  JsonObject *image = json_text_object (info, "image");
  JsonArray *bitmaps = json_text_array (info, "dirty-bitmaps");

  if (!image || disk->layers->len >= LAYERS_LIMIT)
    return error_set (error, EAGAIN, "disk %s: its node %s is not what it was a "
                      "moment ago; try again", disk->target, node);
  g_autofree char *path = path_of (looking, node, info);
  Layer *layer = layer_new (path);
  layer->node = g_strdup (node);
  layer->read_only = json_text_true (info, "ro");
  layer->size = (guint64) MAX (json_text_int (image, "virtual-size"), 0);
  /* A node without a file is one, and has no format. */
  layer->format
    = g_strdup (block_graph_child (looking->graph, node, "file")
                ? json_text_string (info, "drv", "") : "raw");
  layer->version_2 = is_version_2 (image);
  for (guint i = 0; bitmaps && i < json_array_get_length (bitmaps); i++)
    add_bitmap (layer, json_text_element (bitmaps, i));
  /* QEMU leaves void ones out of what it lists.  Of the top image it has removed
   * them when it opened it.
   */
  if (layer->read_only && strcmp (layer->format, "qcow2") == 0)
    layer->void_bitmaps = image_void_bitmaps (layer->path, &layer->void_names);
  g_ptr_array_add (disk->layers, layer);
  return true;
}

/* "the backup job job0", if one works on that node. */
static void
note_job (const Looking *looking, Disk *disk, const char *node)
{
  const char *id = block_graph_job (looking->graph, node);
  const char *type = "block";

  if (!id || disk->job)
    return;
  for (guint i = 0; looking->jobs
       && i < json_array_get_length (looking->jobs); i++) {
    JsonObject *job = json_text_element (looking->jobs, i);
    if (strcmp (json_text_string (job, "device", ""), id) == 0)
      type = json_text_string (job, "type", type);
  }
  disk->job = g_strdup_printf ("the %s job %s", type, id);
}

/* Its jobs work on the filters on it, too. */
static bool
add_layers (const Looking *looking, Disk *disk, const char *top,
            GError **error)
{
  const BlockGraph *graph = looking->graph;
  const char *node = top;

  while (node) {
    const char *data = block_graph_data (graph, node);
    note_job (looking, disk, node);
    note_job (looking, disk, data);
    if (!add_layer (looking, disk, data, error))
      return false;
    node = block_graph_child (graph, data, "backing");
  }
  return true;
}

/* A target begins with a letter, and has no / or @.  Returns a new string. */
static char *
make_target (const Looking *looking, const char *name)
{
  GString *base = g_string_new (g_ascii_isalpha (*name) ? NULL : "d");

  g_string_append (base, name);
  for (char *at = base->str; *at; at++)
    if (!g_ascii_isalnum (*at) && !strchr ("-_.", *at))
      *at = '_';
  g_autofree char *text = g_string_free (base, FALSE);
  char *target = g_strdup (text);
  for (guint n = 2, i = 0; i < looking->disks->len; i++) {
    const Disk *other = g_ptr_array_index (looking->disks, i);
    if (strcmp (other->target, target) != 0)
      continue;
    g_free (target);
    target = g_strdup_printf ("%s-%u", text, n++);
    i = G_MAXUINT;              /* look at all of them again */
  }
  return target;
}

/* "/machine/peripheral/disk0/virtio-backend" → "disk0", a new string; NULL: the
 * device has no name.
 */
static char *
device_id (const char *qdev)
{
  static const char named[] = "/machine/peripheral/";

  if (!g_str_has_prefix (qdev, named))
    return *qdev && *qdev != '/' ? g_strdup (qdev) : NULL;
  g_auto (GStrv) pieces = g_strsplit (qdev + strlen (named), "/", 2);
  return *pieces[0] ? g_strdup (pieces[0]) : NULL;
}

static bool
add_disk (const Looking *looking, const char *name, const char *top,
          GError **error)
{
  g_autofree char *target = make_target (looking, name);
  Disk *disk = disk_new (target);

  g_ptr_array_add (looking->disks, disk);
  return add_layers (looking, disk, top, error);
}

/* Firmware keeps its settings in what looks like a disk. */
static bool
is_flash (const char *device, const char *qdev)
{
  const char *last = strrchr (qdev, '.');

  return g_str_has_prefix (device, "pflash")
    || (last && g_str_has_prefix (last, ".flash"));
}

/* What a disk that has no other name is called: a job of ours has a filter on it
 * while it runs.
 */
static const char *
unfiltered (const Looking *looking, const char *node)
{
  g_autofree char *mark = fleece_mark_of_node (node);

  return mark ? block_graph_data (looking->graph, node) : node;
}

static bool
look_at_device (const Looking *looking, JsonObject *block, GError **error)
{
  JsonObject *inserted = json_text_object (block, "inserted");
  const char *device = json_text_string (block, "device", "");
  const char *qdev = json_text_string (block, "qdev", "");
  const char *node = json_text_string (inserted, "node-name", NULL);
  g_autofree char *id = device_id (qdev);

  if (!node || json_text_true (inserted, "ro")
      || json_text_true (block, "removable") || is_flash (device, qdev))
    return true;
  return add_disk (looking, *device ? device : id ? id
                   : unfiltered (looking, node), node, error);
}

/* Nothing is plugged in anywhere: it serves others. */
static bool
look_at_tops (const Looking *looking, GError **error)
{
  g_autoptr (GPtrArray) tops = block_graph_tops (looking->graph);

  for (guint i = 0; i < tops->len; i++) {
    const char *node = g_ptr_array_index (tops, i);
    const char *name = unfiltered (looking, node);
    g_autofree char *scratch = fleece_mark_of_node (name);
    if (!json_text_true (block_graph_info (looking->graph, node), "ro")
        && !scratch && !add_disk (looking, name, node, error))
      return false;
  }
  return true;
}

static bool
look_at_all (const Looking *looking, JsonArray *blocks, GError **error)
{
  bool plugged = false;

  for (guint i = 0; blocks && i < json_array_get_length (blocks); i++) {
    JsonObject *block = json_text_element (blocks, i);
    plugged |= json_text_object (block, "inserted") != NULL;
    if (!look_at_device (looking, block, error))
      return false;
  }
  return plugged || look_at_tops (looking, error);
}

GPtrArray *
guest_disks_look (const Monitor *monitor, GError **error)
{
  Qmp *qmp = monitor_qmp (monitor);
  g_autoptr (JsonNode) blocks = NULL;
  g_autoptr (JsonNode) jobs = NULL;
  g_autoptr (BlockGraph) graph = NULL;
  g_autoptr (GPtrArray) disks
    = g_ptr_array_new_with_free_func ((GDestroyNotify) disk_free);

  if (!qmp_execute (qmp, "query-block", NULL, &blocks, error)
      || !qmp_execute (qmp, "query-block-jobs", NULL, &jobs, error))
    return NULL;
  graph = block_graph_load (qmp, error);
  const Looking looking = {
    monitor, graph, json_text_node_array (jobs), disks
  };
  if (!graph || !look_at_all (&looking, json_text_node_array (blocks), error))
    return NULL;
  return g_steal_pointer (&disks);
}
