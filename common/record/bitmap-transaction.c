/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Source: QEMU 7.2 qapi/transaction.json, qapi/block-core.json.
 */
#include <config.h>

#include "record/bitmap-transaction.h"

typedef struct {
  BitmapNodeName name;
  void *opaque;
} Names;

/* BlockDirtyBitmapOrStr: in another node, too. */
static void
add_source (JsonObject *data, const BitmapChange *change, const Names *names)
{
  g_autofree char *node
    = names->name (names->opaque, change->disk, change->from_layer);
  JsonArray *sources = json_array_new ();
  JsonObject *source = json_object_new ();

  json_object_set_string_member (source, "node", node);
  json_object_set_string_member (source, "name", change->from);
  json_array_add_object_element (sources, source);
  json_object_set_array_member (data, "bitmaps", sources);
}

static void
add_data (JsonObject *data, const BitmapChange *change, const Names *names)
{
  json_object_set_string_member (data, change->action == BITMAP_MERGE
                                 ? "target" : "name", change->name);
  if (change->action == BITMAP_MERGE)
    add_source (data, change, names);
  if (change->action != BITMAP_ADD)
    return;
  json_object_set_boolean_member (data, "persistent", true);
  if (change->granularity > 0)
    json_object_set_int_member (data, "granularity",
                                (gint64) change->granularity);
  if (!change->recording)
    json_object_set_boolean_member (data, "disabled", true);
}

/* QEMU (7.2, 10.0) dies if it is to enable a bitmap that is not there any
 * more, and disables one that is busy, both as it takes the transaction back
 * (blockdev.c, block_dirty_bitmap_enable_abort).  Merged with itself before,
 * which changes nothing, such a bitmap is refused before that.
 */
static void
merge_with_itself (BitmapChange *change)
{
  change->action = BITMAP_MERGE;
  change->from = change->name;
  change->from_layer = change->layer;
}

static JsonObject *
action_new (const BitmapChange *change, const Names *names)
{
  static const char *const types[] = {
    [BITMAP_ADD]    = "block-dirty-bitmap-add",
    [BITMAP_MERGE]  = "block-dirty-bitmap-merge",
    [BITMAP_ENABLE] = "block-dirty-bitmap-enable",
    [BITMAP_REMOVE] = "block-dirty-bitmap-remove",
  };
  g_autofree char *node
    = names->name (names->opaque, change->disk, change->layer);
  JsonObject *action = json_object_new ();
  JsonObject *data = json_object_new ();

  json_object_set_string_member (data, "node", node);
  add_data (data, change, names);
  json_object_set_string_member (action, "type", types[change->action]);
  json_object_set_object_member (action, "data", data);
  return action;
}

bool
bitmap_transaction_run (Qmp *qmp, const GPtrArray *changes,
                        BitmapNodeName name, void *opaque, GError **error)
{
  const Names names = { name, opaque };
  JsonObject *arguments = json_object_new ();
  JsonArray *actions = json_array_new ();

  for (guint i = 0; i < changes->len; i++) {
    const BitmapChange *change = g_ptr_array_index (changes, i);
    BitmapChange before = *change;
    merge_with_itself (&before);
    if (change->action == BITMAP_ENABLE)
      json_array_add_object_element (actions, action_new (&before, &names));
    json_array_add_object_element (actions, action_new (change, &names));
  }
  json_object_set_array_member (arguments, "actions", actions);
  return qmp_execute (qmp, "transaction", arguments, NULL, error);
}
