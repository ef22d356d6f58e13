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
  const GPtrArray *all;         /* of the forest */
  const Disk *disk;
  GHashTable *doomed;           /* set of Checkpoint */
  GPtrArray *changes;
} Deletion;

/* Who gets what another has recorded. */
typedef struct {
  const Checkpoint *checkpoint;
  const char *bitmap;           /* NULL: nobody needs it */
} Heir;

/* Does the record of that name end somewhere, so that others go on?  One that is
 * lost is read by nobody.
 */
static bool
has_ended (const Disk *disk, const char *name)
{
  bool ended = false;

  for (guint i = 0; i < disk->layers->len; i++) {
    const Bitmap *bitmap = layer_bitmap (disk_layer (disk, i), name);
    if (bitmap && bitmap->inconsistent)
      return false;
    ended = ended || (bitmap && !bitmap->recording);
  }
  return ended;
}

/* The nearest ancestor that stays and covers the disk, if its record ends. */
static Heir
find_heir (const Deletion *deletion, const Checkpoint *gone)
{
  for (const Checkpoint *at = gone->parent; at; at = at->parent) {
    const char *name = checkpoint_bitmap (at, deletion->disk->target);
    if (name && !g_hash_table_contains (deletion->doomed, at))
      return (Heir) {
        at, has_ended (deletion->disk, name) ? name : NULL
      };
  }
  return (Heir) { NULL, NULL };
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

/* Does a descendant that stays go on recording in the layer?  If it does, the
 * heir need not; and where the tree has branches, it must not: the gone one may
 * have begun long after the heir's record had ended.
 */
static bool
goes_on (const Deletion *deletion, const Heir *heir, guint layer)
{
  for (guint i = heir->checkpoint->position + 1;
       i <= heir->checkpoint->last_position; i++) {
    const Checkpoint *below = g_ptr_array_index (deletion->all, i);
    const char *name = checkpoint_bitmap (below, deletion->disk->target);
    const Bitmap *bitmap
      = name && !g_hash_table_contains (deletion->doomed, below)
      ? layer_bitmap (disk_layer (deletion->disk, layer), name) : NULL;
    if (bitmap && bitmap->recording && !bitmap->inconsistent)
      return true;
  }
  return false;
}

/* The heir's own bitmap is there. */
static void
inherit (const Deletion *deletion, guint layer, const Heir *heir,
         const Bitmap *bitmap)
{
  merge (deletion, layer, heir->bitmap, layer, bitmap->name);
  if (bitmap->recording && !goes_on (deletion, heir, layer)
      && !find_change (deletion->changes, BITMAP_ENABLE, deletion->disk, layer,
                       heir->bitmap))
    bitmap_changes_add (deletion->changes, BITMAP_ENABLE, deletion->disk,
                        layer, heir->bitmap);
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
bequeath (const Deletion *deletion, const Heir *heir, const char *name,
          GError **error)
{
  const Disk *disk = deletion->disk;
  const guint deepest = disk_deepest_with (disk, heir->bitmap);

  for (guint i = 0; i < disk->layers->len; i++) {
    const Layer *layer = disk_layer (disk, i);
    const Bitmap *bitmap = layer_bitmap (layer, name);
    const Bitmap *own = layer_bitmap (layer, heir->bitmap);
    if (!bitmap || bitmap->inconsistent || (own && own->recording))
      continue;
    if (own)
      inherit (deletion, i, heir, bitmap);
    else if (i > deepest)
      inherit_anew (deletion, i, heir->bitmap, bitmap);
    else if (!inherit_below (deletion, i, deepest, heir->bitmap, bitmap,
                             error))
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
    if (other && disk_deepest_with (deletion->disk, name)
        < deletion->disk->layers->len)
      return error_set (error, EIO, "disk %s: by their documents, bitmap %s "
                        "is that of checkpoint %s and of checkpoint %s, which "
                        "would lose it", target, name, gone->name,
                        other->name);
  }
  return true;
}

static bool
would_lose (const Deletion *deletion, const Heir *heir, const Checkpoint *gone,
            const char *why, GError **error)
{
  const char *older = heir->checkpoint->name;

  return error_set (error, EIO, "disk %s: the older checkpoint %s, whose own "
                    "record has ended, would lose blocks: it needs what "
                    "checkpoint %s has recorded, %s; if %s is not needed any "
                    "more, delete it first", deletion->disk->target, older,
                    gone->name, why, older);
}

/* Nobody may be able to read the heir now, as the tree has branches; one day it
 * has none.
 */
static bool
check_whole (const Deletion *deletion, const Heir *heir,
             const Checkpoint *gone, const char *name, GError **error)
{
  for (guint i = 0; i < deletion->disk->layers->len; i++) {
    const Layer *layer = disk_layer (deletion->disk, i);
    const Bitmap *bitmap = layer_bitmap (layer, name);
    if (bitmap ? bitmap->inconsistent : layer_may_have_lost (layer, name))
      return would_lose (deletion, heir, gone, "which is lost", error);
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
    if (disk_deepest_with (disk, name) == disk->layers->len) {
      if (!no_bitmap (disk, gone, name, error))
        return false;
      continue;
    }
    const Heir heir = find_heir (deletion, gone);
    if (heir.bitmap
        && (!check_whole (deletion, &heir, gone, name, error)
            || !bequeath (deletion, &heir, name, error)))
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
      .all = forest_all (forest), .disk = g_ptr_array_index (disks, i),
      .doomed = set, .changes = changes,
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

static bool
forget_on (const Deletion *deletion, const GPtrArray *doomed, GError **error)
{
  for (guint i = 0; i < doomed->len; i++) {
    const Checkpoint *gone = g_ptr_array_index (doomed, i);
    const char *name = checkpoint_bitmap (gone, deletion->disk->target);
    const Heir heir = find_heir (deletion, gone);
    if (name && heir.bitmap)
      return would_lose (deletion, &heir, gone, "and finds it by its document",
                         error);
  }
  return true;
}

bool
plan_forget (const Forest *forest, const GPtrArray *disks,
             const GPtrArray *doomed, GError **error)
{
  g_autoptr (GPtrArray) none = bitmap_changes_new ();
  g_autoptr (GHashTable) set = set_of (doomed);

  for (guint i = 0; i < disks->len; i++) {
    const Deletion deletion = {
      .all = forest_all (forest), .disk = g_ptr_array_index (disks, i),
      .doomed = set,
    };
    if (!forget_on (&deletion, doomed, error))
      return false;
  }
  return plan_keeps_views (forest, disks, set, none, error);
}
