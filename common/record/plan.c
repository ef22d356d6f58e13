/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Today's bitmaps are complete by themselves, and one that goes is missed by
 * nobody.  libvirt before 6.5 let only the newest record: an older checkpoint is
 * then read together with those after it (parts.c), so what one of these has
 * recorded must go to the next older one, its heir, before it is deleted.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "record/plan.h"
#include "record/plan-model.h"

bool
plan_can_record (const Disk *disk, GError **error)
{
  const Layer *top = disk_layer (disk, 0);

  if (parts_can_record (disk, NULL))
    return true;
  error_set (error, ENOTSUP, "checkpoint for disk %s unsupported for storage "
             "type %s: only qcow2 holds dirty bitmaps, and %s is none",
             disk->target, top->format ? top->format : "unknown", top->path);
  return error_advise (error, REMEDY_COVER_OTHERS, disk->target, NULL);
}

static bool
check_free (const Disk *disk, const char *name, GError **error)
{
  for (guint i = 0; i < disk->layers->len; i++) {
    const Layer *layer = disk_layer (disk, i);
    if (!layer_bitmap (layer, name))
      continue;
    error_set (error, EEXIST, "disk %s: a bitmap named %s is in %s already, "
               "and no checkpoint of that name is known", disk->target, name,
               layer->path);
    return error_advise (error, REMEDY_STRAY_BITMAP, name, NULL);
  }
  return true;
}

GPtrArray *
plan_create (const GPtrArray *disks, const Checkpoint *checkpoint,
             GError **error)
{
  g_autoptr (GPtrArray) changes = bitmap_changes_new ();

  for (guint i = 0; i < disks->len; i++) {
    const Disk *disk = g_ptr_array_index (disks, i);
    const char *name = checkpoint_bitmap (checkpoint, disk->target);
    if (!name)
      continue;
    if (!plan_can_record (disk, error) || !check_free (disk, name, error))
      return NULL;
    bitmap_changes_add (changes, BITMAP_ADD, disk, 0, name)->recording = true;
  }
  return g_steal_pointer (&changes);
}

GPtrArray *
plan_doomed (const Forest *forest, const Checkpoint *checkpoint,
             DeleteScope scope)
{
  GPtrArray *doomed = scope == DELETE_ONE
    ? g_ptr_array_new () : forest_descendants (forest, checkpoint);

  if (scope != DELETE_DESCENDANTS)
    g_ptr_array_insert (doomed, 0, (gpointer) checkpoint);
  return doomed;
}

/* What is done to one disk. */
typedef struct {
  const Disk *disk;
  GHashTable *doomed;           /* set of Checkpoint */
  GPtrArray *changes;
} Deletion;

/* The number of layers if none has it. */
static guint
deepest_with (const Disk *disk, const char *name)
{
  guint deepest = disk->layers->len;

  for (guint i = 0; i < disk->layers->len; i++)
    if (layer_bitmap (disk_layer (disk, i), name))
      deepest = i;
  return deepest;
}

/* Does the record of that name end somewhere, so that others go on? */
static bool
has_ended (const Disk *disk, const char *name)
{
  for (guint i = 0; i < disk->layers->len; i++) {
    const Bitmap *bitmap = layer_bitmap (disk_layer (disk, i), name);
    if (bitmap && !bitmap->recording)
      return true;
  }
  return false;
}

/* The bitmap of the nearest ancestor that stays and covers the disk, if it needs
 * what its descendants recorded; else NULL.
 */
static const char *
find_heir (const Deletion *deletion, const Checkpoint *gone)
{
  for (const Checkpoint *at = gone->parent; at; at = at->parent) {
    const char *name = checkpoint_bitmap (at, deletion->disk->target);
    if (!name || g_hash_table_contains (deletion->doomed, at))
      continue;
    return has_ended (deletion->disk, name) ? name : NULL;
  }
  return NULL;
}

static BitmapChange *
find_change (const GPtrArray *changes, BitmapAction action, const Disk *disk,
             guint layer, const char *name)
{
  for (guint i = 0; i < changes->len; i++) {
    BitmapChange *change = g_ptr_array_index (changes, i);
    if (change->action == action && change->disk == disk
        && change->layer == layer && strcmp (change->name, name) == 0)
      return change;
  }
  return NULL;
}

static void
merge (const Deletion *deletion, guint layer, const char *heir,
       guint from_layer, const char *from)
{
  BitmapChange *change = bitmap_changes_add (deletion->changes, BITMAP_MERGE,
                                             deletion->disk, layer, heir);

  change->from = g_strdup (from);
  change->from_layer = from_layer;
}

/* The heir's own bitmap is there. */
static void
inherit (const Deletion *deletion, guint layer, const char *heir,
         const Bitmap *bitmap)
{
  merge (deletion, layer, heir, layer, bitmap->name);
  if (bitmap->recording && !find_change (deletion->changes, BITMAP_ENABLE,
                                         deletion->disk, layer, heir))
    bitmap_changes_add (deletion->changes, BITMAP_ENABLE, deletion->disk,
                        layer, heir);
}

/* Below all of the heir's own. */
static void
inherit_anew (const Deletion *deletion, guint layer, const char *heir,
              const Bitmap *bitmap)
{
  BitmapChange *added = find_change (deletion->changes, BITMAP_ADD,
                                     deletion->disk, layer, heir);

  if (!added) {
    added = bitmap_changes_add (deletion->changes, BITMAP_ADD, deletion->disk,
                                layer, heir);
    added->granularity = bitmap->granularity;
  }
  added->recording = added->recording || bitmap->recording;
  merge (deletion, layer, heir, layer, bitmap->name);
}

/* In a layer above the heir's deepest bitmap and without one, all that is
 * allocated counts as changed since, and a bitmap there would hide that.  What
 * the other recorded there, which may be more, goes where the heir has one.
 */
static bool
inherit_below (const Deletion *deletion, guint layer, guint deepest,
               const char *heir, const Bitmap *bitmap, GError **error)
{
  const Disk *disk = deletion->disk;

  if (disk_layer (disk, layer)->size != disk_layer (disk, deepest)->size)
    return error_set (error, EIO, "disk %s: what bitmap %s recorded in %s is "
                      "needed by the older bitmap %s, and cannot be merged "
                      "into it, as %s is of another size; delete the older "
                      "checkpoint first", disk->target, bitmap->name,
                      disk_layer (disk, layer)->path, heir,
                      disk_layer (disk, deepest)->path);
  merge (deletion, deepest, heir, layer, bitmap->name);
  return true;
}

/* What cannot be trusted is not merged: whoever needs it is found by
 * plan_keeps_views.
 */
static bool
bequeath (const Deletion *deletion, const char *heir, const char *name,
          GError **error)
{
  const Disk *disk = deletion->disk;
  const guint deepest = deepest_with (disk, heir);

  for (guint i = 0; i < disk->layers->len; i++) {
    const Bitmap *bitmap = layer_bitmap (disk_layer (disk, i), name);
    const Bitmap *own = layer_bitmap (disk_layer (disk, i), heir);
    if (!bitmap || bitmap->inconsistent || (own && own->recording)
        || (own && own->inconsistent))
      continue;
    if (own)
      inherit (deletion, i, heir, bitmap);
    else if (i > deepest)
      inherit_anew (deletion, i, heir, bitmap);
    else if (!inherit_below (deletion, i, deepest, heir, bitmap, error))
      return false;
  }
  return true;
}

/* Documents can give two checkpoints one bitmap. */
static bool
check_own (const Forest *forest, const Deletion *deletion, GError **error)
{
  const char *target = deletion->disk->target;
  g_autoptr (GHashTable) staying = g_hash_table_new (g_str_hash, g_str_equal);
  GHashTableIter iter;
  gpointer doomed;

  for (guint i = 0; i < forest_all (forest)->len; i++) {
    Checkpoint *checkpoint = g_ptr_array_index (forest_all (forest), i);
    const char *name = checkpoint_bitmap (checkpoint, target);
    if (name && !g_hash_table_contains (deletion->doomed, checkpoint))
      g_hash_table_insert (staying, (gpointer) name, checkpoint);
  }
  g_hash_table_iter_init (&iter, deletion->doomed);
  while (g_hash_table_iter_next (&iter, &doomed, NULL)) {
    const Checkpoint *gone = doomed;
    const char *name = checkpoint_bitmap (gone, target);
    const Checkpoint *other = name ? g_hash_table_lookup (staying, name) : NULL;
    if (other && deepest_with (deletion->disk, name)
        < deletion->disk->layers->len)
      return error_set (error, EIO, "disk %s: by their documents, bitmap %s "
                        "is that of checkpoint %s and of checkpoint %s, which "
                        "would lose it", target, name, gone->name,
                        other->name);
  }
  return true;
}

static bool
no_bitmap (const Disk *disk, const Checkpoint *gone, const char *name,
           GError **error)
{
  if (gone->covers_any_disk)
    return true;
  error_set (error, ENOENT, "checkpoint %s: its bitmap %s is in no layer of "
             "disk %s", gone->name, name, disk->target);
  return error_advise (error, REMEDY_DOCUMENT_ONLY, gone->name, NULL);
}

static bool
delete_from (const Deletion *deletion, const GPtrArray *doomed,
             GPtrArray *removals, GError **error)
{
  const Disk *disk = deletion->disk;

  for (guint i = 0; i < doomed->len; i++) {
    const Checkpoint *gone = g_ptr_array_index (doomed, i);
    const char *name = checkpoint_bitmap (gone, disk->target);
    if (!name)
      continue;
    if (deepest_with (disk, name) == disk->layers->len) {
      if (!no_bitmap (disk, gone, name, error))
        return false;
      continue;
    }
    const char *heir = find_heir (deletion, gone);
    if (heir && !bequeath (deletion, heir, name, error))
      return false;
    for (guint j = 0; j < disk->layers->len; j++)
      if (layer_bitmap (disk_layer (disk, j), name)
          && !find_change (removals, BITMAP_REMOVE, disk, j, name))
        bitmap_changes_add (removals, BITMAP_REMOVE, disk, j, name);
  }
  return true;
}

static GHashTable *
set_of (const GPtrArray *doomed)
{
  GHashTable *set = g_hash_table_new (NULL, NULL);

  for (guint i = 0; i < doomed->len; i++)
    g_hash_table_add (set, g_ptr_array_index (doomed, i));
  return set;
}

/* All that is kept comes before anything goes. */
GPtrArray *
plan_delete (const Forest *forest, const GPtrArray *disks,
             const GPtrArray *doomed, GError **error)
{
  g_autoptr (GPtrArray) changes = bitmap_changes_new ();
  g_autoptr (GPtrArray) removals = bitmap_changes_new ();
  g_autoptr (GHashTable) set = set_of (doomed);

  for (guint i = 0; i < disks->len; i++) {
    const Deletion deletion = {
      .disk = g_ptr_array_index (disks, i), .doomed = set, .changes = changes,
    };
    if (!check_own (forest, &deletion, error)
        || !delete_from (&deletion, doomed, removals, error))
      return NULL;
  }
  g_ptr_array_extend_and_steal (changes, g_steal_pointer (&removals));
  if (!plan_keeps_views (forest, disks, set, changes, error))
    return NULL;
  return g_steal_pointer (&changes);
}

bool
plan_forget (const Forest *forest, const GPtrArray *disks,
             const GPtrArray *doomed, GError **error)
{
  g_autoptr (GPtrArray) none = bitmap_changes_new ();
  g_autoptr (GHashTable) set = set_of (doomed);

  return plan_keeps_views (forest, disks, set, none, error);
}
