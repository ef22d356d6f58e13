/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What a bitmap of the model holds is not its bits, but whose: those of which
 * bitmaps of today.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "parts/parts.h"
#include "record/plan-model.h"

/* A disk as it is, or would be. */
typedef struct {
  Disk *disk;
  GHashTable *holds;            /* Bitmap of disk -> set of Bitmap of today */
} Model;

static void
model_clear (Model *model)
{
  g_clear_pointer (&model->disk, disk_free);
  g_clear_pointer (&model->holds, g_hash_table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Model, model_clear)

static Bitmap *
model_add (const Model *model, Layer *layer, const char *name,
           const Bitmap *of)
{
  Bitmap *bitmap = bitmap_new (name);
  GHashTable *whose = g_hash_table_new (NULL, NULL);

  if (of) {
    bitmap->recording = of->recording;
    bitmap->inconsistent = of->inconsistent;
    g_hash_table_add (whose, (gpointer) of);
  }
  g_ptr_array_add (layer->bitmaps, bitmap);
  g_hash_table_insert (model->holds, bitmap, whose);
  return bitmap;
}

/* Whose disk it is does not matter here, so there is no roster. */
static void
model_init (Model *model, const Disk *disk)
{
  model->disk = disk_new (disk->target);
  model->holds = g_hash_table_new_full (NULL, NULL, NULL,
                                        (GDestroyNotify) g_hash_table_unref);
  for (guint i = 0; i < disk->layers->len; i++) {
    const Layer *layer = disk_layer (disk, i);
    Layer *copy = layer_new (layer->path);
    copy->is_nbd = layer->is_nbd;
    copy->format = g_strdup (layer->format);
    copy->size = layer->size;
    copy->void_bitmaps = layer->void_bitmaps;
    copy->void_names
      = layer->void_names ? g_ptr_array_ref (layer->void_names) : NULL;
    for (guint j = 0; j < layer->bitmaps->len; j++) {
      const Bitmap *bitmap = g_ptr_array_index (layer->bitmaps, j);
      model_add (model, copy, bitmap->name, bitmap);
    }
    g_ptr_array_add (model->disk->layers, copy);
  }
}

static Layer *
model_layer (const Model *model, guint index)
{
  return g_ptr_array_index (model->disk->layers, index);
}

static void
unite (GHashTable *into, GHashTable *from)
{
  GHashTableIter iter;
  gpointer member;

  g_hash_table_iter_init (&iter, from);
  while (g_hash_table_iter_next (&iter, &member, NULL))
    g_hash_table_add (into, member);
}

static void
model_change (const Model *model, const BitmapChange *change)
{
  Layer *layer = model_layer (model, change->layer);
  Bitmap *bitmap = (Bitmap *) layer_bitmap (layer, change->name);

  switch (change->action) {
  case BITMAP_ADD:
    model_add (model, layer, change->name, NULL)->recording
      = change->recording;
    break;
  case BITMAP_MERGE:
    unite (g_hash_table_lookup (model->holds, bitmap),
           g_hash_table_lookup (model->holds, layer_bitmap (
             model_layer (model, change->from_layer), change->from)));
    break;
  case BITMAP_ENABLE:
    bitmap->recording = true;
    break;
  case BITMAP_REMOVE:
    g_hash_table_remove (model->holds, bitmap);
    g_ptr_array_remove (layer->bitmaps, bitmap);
    break;
  }
}

/* A layer's allocation is one by its number. */
static gpointer
allocation_of (guint layer)
{
  return GUINT_TO_POINTER (layer + 1);
}

/* What the parts hold. */
static GHashTable *
content_of (const Model *model, const GPtrArray *parts)
{
  GHashTable *content = g_hash_table_new (NULL, NULL);

  for (guint i = 0; i < parts->len; i++) {
    const Part *part = g_ptr_array_index (parts, i);
    if (part->kind == PART_BITMAP)
      unite (content, g_hash_table_lookup (model->holds, part->bitmap));
    else
      g_hash_table_add (content, allocation_of (part->layer));
  }
  return content;
}

static bool
is_within (GHashTable *some, GHashTable *all)
{
  GHashTableIter iter;
  gpointer member;

  g_hash_table_iter_init (&iter, some);
  while (g_hash_table_iter_next (&iter, &member, NULL))
    if (!g_hash_table_contains (all, member))
      return false;
  return true;
}

/* The tree without the doomed: children get the nearest ancestor that stays. */
static Forest *
forest_without (const Forest *forest, GHashTable *doomed)
{
  Forest *rest = forest_new ();

  for (guint i = 0; i < forest_all (forest)->len; i++) {
    const Checkpoint *checkpoint = g_ptr_array_index (forest_all (forest), i);
    const Checkpoint *parent = checkpoint->parent;
    if (g_hash_table_contains (doomed, checkpoint))
      continue;
    while (parent && g_hash_table_contains (doomed, parent))
      parent = parent->parent;
    Checkpoint *copy = checkpoint_new (checkpoint->name);
    checkpoint_set_parent_name (copy, parent ? parent->name
                                : checkpoint->parent ? NULL
                                : checkpoint->parent_name);
    copy->has_creation_time = checkpoint->has_creation_time;
    copy->creation_time = checkpoint->creation_time;
    copy->covers_any_disk = checkpoint->covers_any_disk;
    for (guint j = 0; j < checkpoint->disks->len; j++) {
      const CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, j);
      checkpoint_add_disk (copy, disk->name, disk->bitmap);
    }
    forest_add (rest, copy, NULL);
  }
  forest_link (rest);
  return rest;
}

/* Has an ancestor, up to since, a bitmap in the layer that is in content and goes
 * on?  It has all that came after it there.
 */
static bool
is_covered (const Disk *disk, const Checkpoint *since,
            const Checkpoint *checkpoint, guint layer, GHashTable *content)
{
  for (const Checkpoint *at = checkpoint->parent; at && at != since;
       at = at->parent) {
    const char *name = checkpoint_bitmap (at, disk->target);
    const Bitmap *bitmap
      = name ? layer_bitmap (disk_layer (disk, layer), name) : NULL;
    if (bitmap && bitmap->recording && !bitmap->inconsistent
        && g_hash_table_contains (content, bitmap))
      return true;
  }
  return false;
}

/* A bitmap that is in no layer is lost in all of them. */
static bool
has_recorded (const Disk *disk, const Checkpoint *since,
              const Checkpoint *checkpoint, const char *name,
              GHashTable *content)
{
  bool found = false;

  for (guint i = 0; i < disk->layers->len; i++)
    found = found || layer_bitmap (disk_layer (disk, i), name);
  for (guint i = 0; i < disk->layers->len; i++) {
    const Layer *layer = disk_layer (disk, i);
    const Bitmap *bitmap = layer_bitmap (layer, name);
    const bool lost = bitmap ? bitmap->inconsistent
      : !found || layer_may_have_lost (layer, name);
    if ((bitmap || lost)
        && (lost || !g_hash_table_contains (content, bitmap))
        && !is_covered (disk, since, checkpoint, i, content))
      return false;
  }
  return true;
}

/* Is all in content that its descendants have recorded, also in branches? */
static bool
has_all_later (const Forest *forest, const Disk *disk,
               const Checkpoint *since, GHashTable *content)
{
  for (guint i = since->position + 1; i <= since->last_position; i++) {
    const Checkpoint *later = g_ptr_array_index (forest_all (forest), i);
    const char *name = checkpoint_bitmap (later, disk->target);
    if (name && !has_recorded (disk, since, later, name, content))
      return false;
  }
  return true;
}

/* Both trees, and both models of a disk. */
typedef struct {
  const Forest *before, *after;
  const Disk *disk;             /* of today */
  Model old, new;
} Comparison;

static void
comparison_clear (Comparison *comparison)
{
  model_clear (&comparison->old);
  model_clear (&comparison->new);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Comparison, comparison_clear)

static bool
keeps_view (const Comparison *comparison, const Checkpoint *since)
{
  g_autoptr (GPtrArray) old = parts_plan (
    comparison->before, comparison->old.disk, since->name, NULL);
  g_autoptr (GPtrArray) new = parts_plan (
    comparison->after, comparison->new.disk, since->name, NULL);

  if (!new)
    return !old;
  g_autoptr (GHashTable) content = content_of (&comparison->new, new);
  if (!old)
    return has_all_later (comparison->before, comparison->disk, since,
                          content);
  g_autoptr (GHashTable) before = content_of (&comparison->old, old);
  return is_within (before, content);
}

static bool
has_ended (const Disk *disk, const Checkpoint *checkpoint)
{
  const char *name = checkpoint_bitmap (checkpoint, disk->target);

  for (guint i = 0; name && i < disk->layers->len; i++) {
    const Bitmap *bitmap = layer_bitmap (disk_layer (disk, i), name);
    if (bitmap && !bitmap->recording)
      return true;
  }
  return false;
}

/* Those that stay, and have a record that ends. */
static GPtrArray *
find_ended (const Forest *forest, const Disk *disk, GHashTable *doomed)
{
  GPtrArray *ended = g_ptr_array_new ();

  for (guint i = 0; i < forest_all (forest)->len; i++) {
    Checkpoint *checkpoint = g_ptr_array_index (forest_all (forest), i);
    if (!g_hash_table_contains (doomed, checkpoint)
        && has_ended (disk, checkpoint))
      g_ptr_array_add (ended, checkpoint);
  }
  return ended;
}

static bool
compare_disk (const Forest *forest, const Disk *disk, GHashTable *doomed,
              const GPtrArray *changes, GError **error)
{
  g_autoptr (GPtrArray) ended = find_ended (forest, disk, doomed);

  if (ended->len == 0)
    return true;
  g_autoptr (Forest) rest = forest_without (forest, doomed);
  g_auto (Comparison) comparison = {
    .before = forest, .after = rest, .disk = disk,
  };
  model_init (&comparison.old, disk);
  model_init (&comparison.new, disk);
  for (guint i = 0; i < changes->len; i++) {
    const BitmapChange *change = g_ptr_array_index (changes, i);
    if (change->disk == disk)
      model_change (&comparison.new, change);
  }
  for (guint i = 0; i < ended->len; i++) {
    const Checkpoint *since = g_ptr_array_index (ended, i);
    if (!keeps_view (&comparison, since))
      return error_set (error, EIO, "disk %s: the older checkpoint %s, whose "
                        "own record has ended, would lose blocks that were "
                        "recorded after it; if it is not needed any more, "
                        "delete %s first", disk->target, since->name,
                        since->name);
  }
  return true;
}

bool
plan_keeps_views (const Forest *forest, const GPtrArray *disks,
                  GHashTable *doomed, const GPtrArray *changes,
                  GError **error)
{
  for (guint i = 0; i < disks->len; i++)
    if (!compare_disk (forest, g_ptr_array_index (disks, i), doomed, changes,
                       error))
      return false;
  return true;
}
