/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A bitmap that is removed leaves its image at once (QEMU 7.2,
 * qcow2_co_remove_persistent_dirty_bitmap), so it is copied in memory, removed,
 * and made again from the copy.
 */
#include <config.h>

#include "record/bitmap-room.h"

#define COPY "qemu-checkpoint-copy"

static bool
add (Qmp *qmp, const char *node, const char *name, const Bitmap *like,
     bool persistent, GError **error)
{
  JsonObject *arguments = json_object_new ();

  json_object_set_string_member (arguments, "node", node);
  json_object_set_string_member (arguments, "name", name);
  json_object_set_int_member (arguments, "granularity",
                              (gint64) like->granularity);
  json_object_set_boolean_member (arguments, "persistent", persistent);
  json_object_set_boolean_member (arguments, "disabled", !like->recording);
  return qmp_execute (qmp, "block-dirty-bitmap-add", arguments, NULL, error);
}

static bool
merge (Qmp *qmp, const char *node, const char *target, const char *from,
       GError **error)
{
  JsonObject *arguments = json_object_new ();
  JsonArray *bitmaps = json_array_new ();

  json_array_add_string_element (bitmaps, from);
  json_object_set_string_member (arguments, "node", node);
  json_object_set_string_member (arguments, "target", target);
  json_object_set_array_member (arguments, "bitmaps", bitmaps);
  return qmp_execute (qmp, "block-dirty-bitmap-merge", arguments, NULL, error);
}

static bool
drop (Qmp *qmp, const char *node, const char *name, GError **error)
{
  JsonObject *arguments = json_object_new ();

  json_object_set_string_member (arguments, "node", node);
  json_object_set_string_member (arguments, "name", name);
  return qmp_execute (qmp, "block-dirty-bitmap-remove", arguments, NULL,
                      error);
}

bool
bitmap_room_make (Qmp *qmp, const char *node, const Layer *bitmaps,
                  GError **error)
{
  bool ok = true;

  for (guint i = 0; ok && i < bitmaps->bitmaps->len; i++) {
    const Bitmap *bitmap = g_ptr_array_index (bitmaps->bitmaps, i);
    if (bitmap->inconsistent)
      continue;
    ok = add (qmp, node, COPY, bitmap, false, error)
      && merge (qmp, node, COPY, bitmap->name, error)
      && drop (qmp, node, bitmap->name, error)
      && add (qmp, node, bitmap->name, bitmap, true, error)
      && merge (qmp, node, bitmap->name, COPY, error);
    drop (qmp, node, COPY, NULL);
  }
  return ok;
}
