/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The decision on which everything rests: it errs towards refusing.
 *
 * Layers below the deepest one that has the bitmap are older than the
 * checkpoint, unless one of them has lost this bitmap, or has a server that
 * does not offer all: that one may have been the deepest.  The layer that the
 * disk was at the checkpoint has the bitmap, or has lost it.  (What lies below
 * its place is not older for that: a snapshot's name that is used again takes
 * the place of the one before.)  From the deepest one up, each layer was
 * written after the checkpoint: with the bitmap, the bitmap tells what was
 * written; without, whatever is allocated there was.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "image/unlocked.h"
#include "parts/parts.h"
#include "parts/refuse.h"
#include "tree/roster.h"

bool
part_equal (const Part *a, const Part *b)
{
  return a->kind == b->kind && a->layer == b->layer && a->bitmap == b->bitmap;
}

bool
part_dirty_bytes (const Disk *disk, const Part *part, guint64 *bytes)
{
  const guint64 size = disk_layer (disk, 0)->size;
  const bool is_whole = part->kind == PART_WHOLE;

  /* A bitmap of a shorter layer says nothing of what lies beyond it. */
  if (!is_whole && (!part->bitmap || !part->bitmap->counted
                    || disk_layer (disk, part->layer)->size < size))
    return false;
  *bytes = is_whole ? size : part->bitmap->dirty_bytes;
  return true;
}

guint64
part_granularity (const Disk *disk, const Part *part)
{
  return part->kind == PART_BITMAP ? part->bitmap->granularity
    : part->kind == PART_ALLOCATION
    ? disk_layer (disk, part->layer)->cluster_size : 0;
}

bool
part_as_it_stood (const Disk *disk, const Part *part)
{
  return disk->as_it_stood && part->bitmap && !part->bitmap->recording;
}

static void
add_part (GPtrArray *parts, PartKind kind, guint layer, const Bitmap *bitmap)
{
  const Part wanted = { kind, layer, bitmap };

  for (guint i = 0; i < parts->len; i++)
    if (part_equal (g_ptr_array_index (parts, i), &wanted))
      return;
  g_ptr_array_add (parts, g_memdup2 (&wanted, sizeof wanted));
}

static GPtrArray *
sole_part (PartKind kind)
{
  GPtrArray *parts = g_ptr_array_new_with_free_func (g_free);

  add_part (parts, kind, 0, NULL);
  return parts;
}

GPtrArray *
parts_whole (void)
{
  return sole_part (PART_WHOLE);
}

static bool
check_useful (const Disk *disk, GError **error)
{
  if (!disk->useless)
    return true;
  error_set (error, EIO, "%s", disk->useless->message);
  error_advise_as (error, disk->useless);
  return false;
}

GPtrArray *
parts_disk (const Disk *disk, GError **error)
{
  return check_useful (disk, error) ? sole_part (PART_DISK) : NULL;
}

/* Are the layers below those that have the bitmap known to be older? */
static bool
check_older (const Disk *disk, const Checkpoint *checkpoint,
             const char *name, GError **error)
{
  const int place = roster_place (disk->roster, checkpoint, disk->target);

  for (guint i = disk_deepest_with (disk, name) + 1; i < disk->layers->len;
       i++) {
    const Layer *layer = disk_layer (disk, i);
    if (layer_may_have_lost (layer, name))
      return parts_void (disk, layer, name, error);
  }
  /* Programs that drop void bitmaps leave no other sign. */
  return place < 0 || (guint) place >= disk->layers->len
    || layer_bitmap (disk_layer (disk, (guint) place), name)
    || parts_lost (disk, disk_layer (disk, (guint) place), name, error);
}

/* For each byte of a name that is not UTF-8, QEMU tells U+FFFD, and it knows no
 * bitmap by that name.
 */
static bool
is_misnamed (const Layer *layer, const char *name)
{
  return !layer->is_nbd && strstr (name, "\xef\xbf\xbd")
    && !image_has_bitmap (layer->path, name);
}

/* Add the parts that one checkpoint's bitmap makes, which may lie in the first
 * `end` layers.  ends has a byte a layer, and is updated: does the record of
 * that layer, in the parts added so far, end before the layer was left?
 */
static bool
add_parts_of (GPtrArray *parts, const Forest *forest, const Disk *disk,
              const Checkpoint *checkpoint, const char *name, guint end,
              guint8 *ends, GError **error)
{
  const guint deepest = disk_deepest_with (disk, name);

  if (deepest == disk->layers->len)
    return parts_missing (forest, disk, checkpoint, name, error);

  for (guint i = 0; i <= deepest; i++) {
    const Layer *layer = disk_layer (disk, i);
    const Bitmap *bitmap = layer_bitmap (layer, name);
    if (bitmap && is_misnamed (layer, name))
      return parts_misnamed (disk, layer, name, error);
    if (bitmap && bitmap->inconsistent)
      return parts_inconsistent (disk, layer, name, error);
    if (!bitmap && i == 0 && layer->version_2)
      return parts_forgets_zeroes (disk, layer, error);
    ends[i] = bitmap && !bitmap->recording;
    add_part (parts, bitmap ? PART_BITMAP : PART_ALLOCATION, i, bitmap);
  }
  /* NBD does not tell that a layer is older, so its server must offer it. */
  for (guint i = deepest + 1; i < end; i++)
    if (disk_layer (disk, i)->is_nbd)
      return parts_not_offered (disk, disk_layer (disk, i), name, error);
  return true;
}

/* The checkpoints after `checkpoint` on the way to the current one, the
 * current one first; NULL if it is not on that way.
 */
static GPtrArray *
way_to_current (const Forest *forest, const Checkpoint *checkpoint)
{
  const Checkpoint *current = forest_current (forest);
  g_autoptr (GPtrArray) way = g_ptr_array_new ();

  if (!current)
    return NULL;
  for (const Checkpoint *at = current; at != checkpoint; at = at->parent) {
    if (!at)
      return NULL;
    g_ptr_array_add (way, (gpointer) at);
  }
  return g_steal_pointer (&way);
}

/* The first layer of which the record ends, or -1. */
static int
first_end (const Disk *disk, const guint8 *ends)
{
  for (guint i = 0; i < disk->layers->len; i++)
    if (ends[i])
      return (int) i;
  return -1;
}

static bool
is_known (const Forest *forest, const Disk *disk, const char *bitmap)
{
  const GPtrArray *all = forest_all (forest);

  for (guint i = 0; i < all->len; i++)
    if (g_strcmp0 (checkpoint_bitmap (g_ptr_array_index (all, i),
                                      disk->target), bitmap) == 0)
      return true;
  return false;
}

/* A bitmap of no known checkpoint may be that of one in between which was
 * forgotten.  As a part it does no harm.
 */
static bool
add_unknown (GPtrArray *parts, const Forest *forest, const Disk *disk,
             const Checkpoint *checkpoint, guint end, GError **error)
{
  for (guint i = 0; i < end; i++) {
    const Layer *layer = disk_layer (disk, i);
    for (guint j = 0; j < layer->bitmaps->len; j++) {
      const Bitmap *bitmap = g_ptr_array_index (layer->bitmaps, j);
      if (is_known (forest, disk, bitmap->name))
        continue;
      if (bitmap->inconsistent)
        return parts_forgotten_between (disk, checkpoint, i, bitmap->name,
                                        error);
      add_part (parts, PART_BITMAP, i, bitmap);
    }
  }
  return true;
}

/* A bitmap was disabled when the next checkpoint's was made in the same layer:
 * in each layer, a later one must go on where it ends.
 */
static bool
add_descendants (GPtrArray *parts, const Forest *forest, const Disk *disk,
                 const Checkpoint *checkpoint, guint end, guint8 *ends,
                 GError **error)
{
  g_autoptr (GPtrArray) way = way_to_current (forest, checkpoint);
  const guint layer = (guint) first_end (disk, ends);

  if (!way) {
    g_autofree char *branch = parts_branch_reason (forest, disk, checkpoint);
    return parts_not_recording (
      disk, checkpoint, layer, branch ? branch
      : "it is not known to lead to a current checkpoint whose bitmap goes on",
      REASON_NO_WAY, branch ? REMEDY_FULL_BACKUP : REMEDY_GIVE_TREE, error);
  }
  for (guint i = way->len; i > 0 && first_end (disk, ends) >= 0; i--) {
    const Checkpoint *next = g_ptr_array_index (way, i - 1);
    const char *bitmap = checkpoint_bitmap (next, disk->target);
    if (bitmap
        && !add_parts_of (parts, forest, disk, next, bitmap, end, ends, error))
      return false;
  }
  const int left = first_end (disk, ends);
  if (left >= 0)
    return parts_not_recording (disk, checkpoint, (guint) left, "no later "
                                "checkpoint's bitmap is there, either",
                                REASON_DISABLED, REMEDY_FULL_BACKUP, error);
  return add_unknown (parts, forest, disk, checkpoint, end, error);
}

/* NBD does not tell whether a bitmap still records, so whatever the server
 * offers of later checkpoints is a part, too: more than needed if it does.
 */
static bool
add_offered (GPtrArray *parts, const Forest *forest, const Disk *disk,
             const Checkpoint *checkpoint, guint end, guint8 *ends,
             GError **error)
{
  g_autoptr (GPtrArray) names = disk_bitmap_names (disk);
  g_autoptr (GPtrArray) later = forest_descendants (forest, checkpoint);

  for (guint i = 0; i < later->len; i++) {
    const Checkpoint *next = g_ptr_array_index (later, i);
    const char *bitmap = checkpoint_bitmap (next, disk->target);
    if (bitmap
        && g_ptr_array_find_with_equal_func (names, bitmap, g_str_equal, NULL)
        && !add_parts_of (parts, forest, disk, next, bitmap, end, ends, error))
      return false;
  }
  return true;
}

/* Bitmaps that were named with the first.  Which is the older one, nobody
 * says, so what lies below each must be older than that.
 */
static bool
add_also (GPtrArray *parts, const Forest *forest, const Disk *disk,
          const Checkpoint *checkpoint, guint end, guint8 *ends,
          GError **error)
{
  for (guint i = 0; disk->also && i < disk->also->len; i++) {
    const char *name = g_ptr_array_index (disk->also, i);
    if (!add_parts_of (parts, forest, disk, checkpoint, name, end, ends, error)
        || !check_older (disk, checkpoint, name, error))
      return false;
  }
  return true;
}

/* What was written after the record ends. */
static bool
go_on (GPtrArray *parts, const Forest *forest, const Disk *disk,
       const Checkpoint *checkpoint, guint end, guint8 *ends, GError **error)
{
  if (disk->as_it_stood)
    return true;
  if (disk->recording_untold)
    return add_offered (parts, forest, disk, checkpoint, end, ends, error);
  return first_end (disk, ends) < 0
    || add_descendants (parts, forest, disk, checkpoint, end, ends, error);
}

/* What to ask of each layer was decided when its source was begun. */
static GPtrArray *
planned_parts (const Disk *disk, const char *name)
{
  GPtrArray *parts = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < disk->layers->len; i++) {
    const Bitmap *bitmap = layer_bitmap (disk_layer (disk, i), name);
    if (bitmap || i > 0)
      add_part (parts, bitmap ? PART_BITMAP : PART_ALLOCATION, i, bitmap);
  }
  return parts;
}

static int
compare_parts (gconstpointer a, gconstpointer b)
{
  const Part *left = *(Part *const *) a, *right = *(Part *const *) b;

  return (left->layer > right->layer) - (left->layer < right->layer);
}

GPtrArray *
parts_plan (const Forest *forest, const Disk *disk, const char *checkpoint,
            GError **error)
{
  g_autoptr (GPtrArray) parts = g_ptr_array_new_with_free_func (g_free);
  const Checkpoint *since = forest_lookup (forest, checkpoint);
  g_autofree guint8 *ends = g_new0 (guint8, disk->layers->len);

  if (!since) {
    parts_unknown_checkpoint (forest, checkpoint, error);
    return NULL;
  }
  if (!check_useful (disk, error) || !parts_can_record (disk, error)
      || !roster_check (disk->roster, since, disk->target, error))
    return NULL;
  const char *bitmap = checkpoint_bitmap (since, disk->target);
  if (!bitmap) {
    parts_not_covered (forest, disk, checkpoint, error);
    return NULL;
  }
  if (disk->planned)
    return planned_parts (disk, bitmap);
  if (!add_parts_of (parts, forest, disk, since, bitmap, disk->layers->len,
                     ends, error)
      || !check_older (disk, since, bitmap, error))
    return NULL;
  /* Below, all is older than the later ones, too; what is void above counts
   * whole already.
   */
  const guint end = disk_deepest_with (disk, bitmap) + 1;
  if (!add_also (parts, forest, disk, since, end, ends, error)
      || !go_on (parts, forest, disk, since, end, ends, error))
    return NULL;
  g_ptr_array_sort (parts, compare_parts);
  return g_steal_pointer (&parts);
}

Forest *
parts_flat_tree (const GPtrArray *disks)
{
  Forest *forest = forest_new ();
  /* Borrowed: a checkpoint stays ours to change until it is linked. */
  g_autoptr (GHashTable) made = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < disks->len; i++) {
    const Disk *disk = g_ptr_array_index (disks, i);
    g_autoptr (GPtrArray) names = disk_bitmap_names (disk);
    for (guint j = 0; j < names->len; j++) {
      const char *name = g_ptr_array_index (names, j);
      /* qemu_checkpoint.c and qemu_block.c of libvirt. */
      if (g_str_has_prefix (name, "libvirt-tmp-"))
        continue;
      Checkpoint *checkpoint = g_hash_table_lookup (made, name);
      if (!checkpoint) {
        checkpoint = checkpoint_new (name);
        g_hash_table_insert (made, checkpoint->name, checkpoint);
        forest_add (forest, checkpoint, NULL);
      }
      checkpoint_cover (checkpoint, disk->target, name);
    }
  }
  forest_link (forest);
  return forest;
}
