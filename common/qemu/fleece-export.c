/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What a fleecing job tells of what is dirty.  Bitmaps of the disk's size become
 * one on the scratch image.  QEMU merges none of another size, so those of each
 * such size become one on a node that has just that size, and is exported, too.
 * Of a layer without a bitmap the layer itself is exported: all that is allocated
 * there was written.
 *
 * That is looked at later than at the instant.  What is allocated in a layer stays
 * so while the job runs, and becomes more by what the guest writes, which is called
 * dirty then: too much, never too little.  A snapshot or a commit of the disk, or
 * what empties an image (HMP's commit), is refused while the job runs, for its
 * filter is on top, and a layer below another can be no source of a commit.
 *
 * Another program can begin a stream into the disk's node, by that node's name.
 * While it works, a filter of its own is what is exported, and the backup is over
 * (fleece_layers_stay).  It makes more allocated there; layers that it takes away
 * stay exported: one by one, since they would move in the allocation depth of the
 * whole chain.  Where none is left below, version 2 gives a cluster up for each that
 * the guest zeroes: as the disk's own layer, it is refused (parts_forgets_zeroes).
 * A layer that was taken away can be committed, and QEMU exports the one below in
 * its place, in which zeroes may be allocated nowhere (version 2): that is looked
 * for whenever the job is (fleece_layers_stay).
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/json-text.h"
#include "qemu/fleece-kept.h"

bool
fleece_make_parts (KeptFleece *kept, guint index, GError **error)
{
  const FleeceDisk *disk = g_ptr_array_index (kept->plan->disks, index);

  for (guint i = 0; i < disk->parts->len; i++) {
    const FleecePart *part = g_ptr_array_index (disk->parts, i);
    g_autofree char *node = fleece_part_node (kept->plan, index, i);
    if (part->node)
      continue;
    JsonObject *options = qmp_texts ("driver", "null-co", "node-name", node,
                                     NULL);
    json_object_set_int_member (options, "size", (gint64) part->size);
    json_object_set_boolean_member (options, "read-only", true);
    if (!qmp_execute (monitor_qmp (kept->monitor), "blockdev-add", options,
                      NULL, error)) {
      g_prefix_error (error, "disk %s: QEMU has no place for bitmaps of %"
                      G_GUINT64_FORMAT " bytes, of which the disk's record is "
                      "made: ", disk->target, part->size);
      return error_advise (error, REMEDY_FULL_BACKUP, NULL);
    }
  }
  return true;
}

void
fleece_add_action (JsonArray *actions, const char *type, JsonObject *data)
{
  JsonObject *action = qmp_texts ("type", type, NULL);

  json_object_set_object_member (action, "data", data);
  json_array_add_object_element (actions, action);
}

/* What the guest does is not recorded in it: it is of the instant. */
static void
add_frozen (JsonArray *actions, const char *node, const char *name,
            guint64 granularity, const GPtrArray *bitmaps)
{
  JsonObject *bitmap = qmp_texts ("node", node, "name", name, NULL);
  JsonObject *merge = qmp_texts ("node", node, "target", name, NULL);
  JsonArray *from = json_array_new ();

  json_object_set_boolean_member (bitmap, "disabled", true);
  if (granularity)
    json_object_set_int_member (bitmap, "granularity", (gint64) granularity);
  for (guint i = 0; i < bitmaps->len; i++) {
    const FleeceBitmap *one = g_ptr_array_index (bitmaps, i);
    json_array_add_object_element (
      from, qmp_texts ("node", one->node, "name", one->name, NULL));
  }
  json_object_set_array_member (merge, "bitmaps", from);
  fleece_add_action (actions, "block-dirty-bitmap-add", bitmap);
  fleece_add_action (actions, "block-dirty-bitmap-merge", merge);
}

void
fleece_freeze_disk (JsonArray *actions, const KeptFleece *kept, guint index)
{
  const FleeceDisk *disk = g_ptr_array_index (kept->plan->disks, index);
  g_autofree char *image
    = fleece_node_name (kept->plan->mark, index, FLEECE_NODE_IMAGE);

  if (disk->bitmaps->len > 0)
    add_frozen (actions, image, disk->since, disk->granularity,
                disk->bitmaps);
  for (guint i = 0; i < disk->parts->len; i++) {
    const FleecePart *part = g_ptr_array_index (disk->parts, i);
    g_autofree char *node = fleece_part_node (kept->plan, index, i);
    if (!part->node)
      add_frozen (actions, node, disk->since, part->granularity,
                  part->bitmaps);
  }
}

/* bitmap: NULL: none. */
static bool
export_node (const KeptFleece *kept, const char *id, const char *node,
             const char *name, const char *bitmap, bool depth, GError **error)
{
  JsonObject *export = qmp_texts ("type", "nbd", "id", id, "node-name", node,
                                  "name", name, NULL);
  JsonArray *bitmaps = json_array_new ();

  if (bitmap)
    json_array_add_object_element (
      bitmaps, qmp_texts ("node", node, "name", bitmap, NULL));
  json_object_set_array_member (export, "bitmaps", bitmaps);
  json_object_set_boolean_member (export, "allocation-depth", depth);
  json_object_set_boolean_member (export, "writable", false);
  return qmp_execute (monitor_qmp (kept->monitor), "block-export-add", export,
                      NULL, error);
}

bool
fleece_export_disk (const KeptFleece *kept, guint index, GError **error)
{
  const Fleece *plan = kept->plan;
  const FleeceDisk *disk = g_ptr_array_index (plan->disks, index);
  g_autofree char *id = fleece_id (plan->mark, disk->target);
  g_autofree char *image
    = fleece_node_name (plan->mark, index, FLEECE_NODE_IMAGE);
  bool ok = export_node (kept, id, image, disk->target,
                         disk->bitmaps->len > 0 ? disk->since : NULL, false,
                         error);

  for (guint i = 0; ok && i < disk->parts->len; i++) {
    const FleecePart *part = g_ptr_array_index (disk->parts, i);
    g_autofree char *part_id = fleece_part_id (plan->mark, index, i);
    g_autofree char *node = fleece_part_node (plan, index, i);
    g_autofree char *name = fleece_part_name (disk, i);
    ok = export_node (kept, part_id, node, name,
                      part->node ? NULL : disk->since, part->node != NULL,
                      error);
  }
  return ok;
}

static bool
is_export_of (JsonArray *exports, const char *id, const char *node)
{
  for (guint i = 0; exports && i < json_array_get_length (exports); i++) {
    JsonObject *one = json_text_element (exports, i);
    if (strcmp (json_text_string (one, "id", ""), id) == 0)
      return strcmp (json_text_string (one, "node-name", ""), node) == 0;
  }
  return false;
}

static bool
all_stay (const KeptFleece *kept, guint index, JsonArray *exports)
{
  const FleeceDisk *disk = g_ptr_array_index (kept->plan->disks, index);

  for (guint i = 0; i < disk->parts->len; i++) {
    const FleecePart *part = g_ptr_array_index (disk->parts, i);
    g_autofree char *id = fleece_part_id (kept->plan->mark, index, i);
    if (part->node && !is_export_of (exports, id, part->node))
      return false;
  }
  return true;
}

static bool
has_layers (const FleeceDisk *disk)
{
  for (guint i = 0; i < disk->parts->len; i++)
    if (((const FleecePart *) g_ptr_array_index (disk->parts, i))->node)
      return true;
  return false;
}

bool
fleece_layers_stay (const KeptFleece *kept, const char *target, GError **why)
{
  const GPtrArray *disks = kept->plan->disks;

  for (guint i = 0; i < disks->len; i++) {
    const FleeceDisk *disk = g_ptr_array_index (disks, i);
    if (strcmp (disk->target, target) != 0 || !has_layers (disk))
      continue;
    g_autoptr (JsonNode) answer = fleece_ask (
      monitor_qmp (kept->monitor), "query-block-exports", NULL, why);
    if (!answer)
      return false;
    if (!all_stay (kept, i, json_text_node_array (answer)))
      return error_set (why, ESTALE, "a job of another program's has put other "
                        "layers in the place of those that tell what changed");
  }
  return true;
}
