/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The decision on which everything rests: it errs towards refusing.
 *
 * Layers below the deepest one that has the bitmap are older than the
 * checkpoint.  From that one up, each layer was written after it: with the
 * bitmap, the bitmap tells what was written; without, whatever is allocated
 * there was.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "error.h"
#include "nearest.h"
#include "parts.h"

#define NAMES_SHOWN 8

static const char *
top_path (const Disk *disk)
{
  return disk_layer (disk, 0)->path;
}

static bool
is_nbd (const Disk *disk)
{
  return disk_layer (disk, 0)->format == NULL;
}

bool
parts_unknown_checkpoint (const Forest *forest, const char *checkpoint,
                          GError **error)
{
  if (!error)
    return false;

  g_autoptr (GPtrArray) names = forest_names (forest);
  g_autofree char *nearest = nearest_names (checkpoint, names, NAMES_SHOWN);

  return error_set (error, ENOENT, "there is no checkpoint %s; known are: %s",
                    checkpoint, nearest);
}

bool
parts_nothing_recorded (const Disk *disk, GError **error)
{
  if (is_nbd (disk) && disk_layer (disk, 0)->bitmaps->len == 0)
    return error_set (error, ENOENT, "disk %s: %s offers no dirty bitmap; "
                      "export one with: qemu-nbd --read-only -B NAME, or with "
                      "virsh backup-begin and <incremental>", disk->target,
                      top_path (disk));
  return error_set (error, ENOENT, "disk %s: no checkpoint or bitmap covers it "
                    "(%s), so nothing was recorded; make a full backup",
                    disk->target, top_path (disk));
}

static bool
not_covered (const Forest *forest, const Disk *disk, const char *checkpoint,
             GError **error)
{
  if (!error)                   /* all checkpoints are looked at for words */
    return false;

  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  const GPtrArray *all = forest_all (forest);

  for (guint i = 0; i < all->len; i++) {
    const Checkpoint *other = g_ptr_array_index (all, i);
    if (checkpoint_bitmap (other, disk->target))
      g_ptr_array_add (names, (char *) other->name);
  }
  g_autofree char *nearest = nearest_names (checkpoint, names, NAMES_SHOWN);
  return error_set (error, ENOENT, "checkpoint %s does not cover disk %s, so "
                    "nothing was recorded; checkpoints that do: %s",
                    checkpoint, disk->target, nearest);
}

static bool
missing_from_server (const Disk *disk, const char *bitmap, GError **error)
{
  g_autoptr (GPtrArray) names = disk_bitmap_names (disk);
  g_autofree char *nearest = nearest_names (bitmap, names, NAMES_SHOWN);
  g_autofree char *pull = g_strconcat ("backup-", disk->target, NULL);
  const char *offered = NULL;

  for (guint i = 0; i < names->len; i++) {
    const char *name = g_ptr_array_index (names, i);
    if (strcmp (name, pull) == 0
        || (!offered && g_str_has_prefix (name, "backup-")))
      offered = name;
  }
  if (offered)
    return error_set (error, ENOENT, "disk %s: %s does not offer bitmap %s, "
                      "but %s, as libvirt's pull-mode jobs do whatever the "
                      "checkpoint; if the job was begun since %s, add "
                      "bitmap=%s", disk->target, top_path (disk), bitmap,
                      offered, bitmap, offered);
  return error_set (error, ENOENT, "disk %s: %s does not offer bitmap %s; it "
                    "offers: %s; choose with bitmap=, or export it (qemu-nbd "
                    "-B %s)", disk->target, top_path (disk), bitmap, nearest,
                    bitmap);
}

/* A disabled bitmap is complete only with those of all checkpoints after
 * it; were one of these forgotten, it would seem complete without.
 */
static bool
has_disabled (const Disk *disk)
{
  for (guint i = 0; i < disk->layers->len; i++) {
    const Layer *layer = disk_layer (disk, i);
    for (guint j = 0; j < layer->bitmaps->len; j++) {
      const Bitmap *bitmap = g_ptr_array_index (layer->bitmaps, j);
      if (!bitmap->recording && !bitmap->inconsistent)
        return true;
    }
  }
  return false;
}

static bool
is_on_the_way (const Checkpoint *a, const Checkpoint *b)
{
  return a == b || forest_is_ancestor (a, b) || forest_is_ancestor (b, a);
}

/* Why it cannot be known what came after a checkpoint, if its tree has
 * branches, as it has when a snapshot was reverted and the guest went on from
 * there; else NULL.  The caller's.
 */
static char *
branch_reason (const Forest *forest, const Disk *disk,
               const Checkpoint *checkpoint)
{
  const GPtrArray *all = forest_all (forest);
  const Checkpoint *root = checkpoint, *other = NULL;

  while (root->parent)
    root = root->parent;
  for (guint i = 0; i < all->len; i++) {
    const Checkpoint *at = g_ptr_array_index (all, i);
    const char *name = checkpoint_bitmap (at, disk->target);
    const Bitmap *bitmap
      = name ? layer_bitmap (disk_layer (disk, 0), name) : NULL;
    if (!forest_is_ancestor (root, at) || is_on_the_way (checkpoint, at))
      continue;
    if (bitmap && bitmap->recording && !bitmap->inconsistent)
      return g_strdup_printf ("it is on another branch of the tree than "
                              "checkpoint %s, whose bitmap goes on (was a "
                              "snapshot reverted?)", at->name);
    other = at;
  }
  g_autoptr (GPtrArray) leaves = forest_leaves (forest);
  guint below = 0;
  for (guint i = 0; !other && i < leaves->len; i++) {
    const Checkpoint *leaf = g_ptr_array_index (leaves, i);
    if (forest_is_ancestor (checkpoint, leaf) && ++below > 1)
      other = leaf;
  }
  return other ? g_strdup_printf ("the tree has branches (one has checkpoint "
                                  "%s), and which is the current one is not "
                                  "stored (was a snapshot reverted?)",
                                  other->name) : NULL;
}

static bool
missing (const Forest *forest, const Disk *disk, const Checkpoint *checkpoint,
         const char *bitmap, GError **error)
{
  if (!error)
    return false;
  if (is_nbd (disk))
    return missing_from_server (disk, bitmap, error);

  g_autoptr (GPtrArray) names = disk_bitmap_names (disk);
  g_autofree char *nearest = nearest_names (bitmap, names, NAMES_SHOWN);
  const char *domain
    = checkpoint->domain_name ? checkpoint->domain_name : "DOMAIN";
  g_autofree char *guest = error_shell_word (domain);
  g_autofree char *name = error_shell_word (checkpoint->name);
  g_autofree char *forget
    = g_strdup_printf (", and forget the checkpoint with: virsh "
                       "checkpoint-delete --metadata %s %s", guest, name);
  g_autofree char *branch = branch_reason (forest, disk, checkpoint);
  return error_set (error, ENOENT, "disk %s: bitmap %s is not in %s nor below "
                    "it (there are: %s), so what changed since checkpoint %s "
                    "is lost%s%s; make a full backup of all disks%s",
                    disk->target, bitmap, top_path (disk), nearest,
                    checkpoint->name, branch ? ": " : "",
                    branch ? branch : "",
                    branch || has_disabled (disk) ? "" : forget);
}

/* The remedy removes the bitmap from every layer, the top one first: with
 * only the lower ones removed, the rest would look like a bitmap that was
 * made later, and complete.
 */
static bool
inconsistent (const Disk *disk, const Layer *layer, const char *bitmap,
              GError **error)
{
  g_autoptr (GString) remedy = g_string_new (NULL);

  for (guint i = 0; i < disk->layers->len; i++) {
    const Layer *other = disk_layer (disk, i);
    if (!layer_bitmap (other, bitmap))
      continue;
    g_autofree char *path = error_shell_word (other->path);
    g_autofree char *name = error_shell_word (bitmap);
    g_string_append_printf (remedy, "%sqemu-img bitmap --remove %s %s",
                            remedy->len ? " ; " : "", path, name);
  }
  return error_set (error, EIO, "disk %s: bitmap %s in %s is inconsistent "
                    "(in-use): it was not saved when QEMU ended, so blocks "
                    "are missing from it; make a full backup, and remove it "
                    "with: %s", disk->target, bitmap, layer->path,
                    remedy->str);
}

static void
add_part (GPtrArray *parts, guint layer, const Bitmap *bitmap)
{
  for (guint i = 0; i < parts->len; i++) {
    const Part *part = g_ptr_array_index (parts, i);
    if (part->layer == layer && part->bitmap == bitmap)
      return;
  }
  Part *part = g_new (Part, 1);
  *part = (Part) { layer, bitmap, false };
  g_ptr_array_add (parts, part);
}

GPtrArray *
parts_full (void)
{
  GPtrArray *parts = g_ptr_array_new_with_free_func (g_free);

  add_part (parts, 0, NULL);
  ((Part *) g_ptr_array_index (parts, 0))->full = true;
  return parts;
}

/* The parts that one checkpoint's bitmap makes.  ends has a byte a layer, and is
 * updated: does the record of that layer end before it was left, as far as the
 * parts go that were added?
 */
static bool
add_parts_of (GPtrArray *parts, const Forest *forest, const Disk *disk,
              const Checkpoint *checkpoint, const char *name,
              guint8 *ends, GError **error)
{
  guint deepest = disk->layers->len;

  for (guint i = 0; i < disk->layers->len; i++)
    if (layer_bitmap (disk_layer (disk, i), name))
      deepest = i;
  if (deepest == disk->layers->len)
    return missing (forest, disk, checkpoint, name, error);

  for (guint i = 0; i <= deepest; i++) {
    const Layer *layer = disk_layer (disk, i);
    const Bitmap *bitmap = layer_bitmap (layer, name);
    if (bitmap && bitmap->inconsistent)
      return inconsistent (disk, layer, name, error);
    ends[i] = bitmap && !bitmap->recording;
    add_part (parts, i, bitmap);
  }
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

static bool
not_recording (const Disk *disk, const Checkpoint *checkpoint, guint layer,
               const char *why, GError **error)
{
  return error_set (error, EIO, "disk %s: the bitmap of checkpoint %s in %s "
                    "is not recording (disabled), and %s; blocks written "
                    "since are unknown, make a full backup", disk->target,
                    checkpoint->name, disk_layer (disk, layer)->path, why);
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

/* A bitmap was disabled when the next checkpoint's was made in the same layer:
 * in each layer, a later one must go on where it ends.
 */
static bool
add_descendants (GPtrArray *parts, const Forest *forest, const Disk *disk,
                 const Checkpoint *checkpoint, guint8 *ends, GError **error)
{
  g_autoptr (GPtrArray) way = way_to_current (forest, checkpoint);
  const guint layer = (guint) first_end (disk, ends);

  if (!way) {
    g_autofree char *branch = branch_reason (forest, disk, checkpoint);
    return not_recording (disk, checkpoint, layer, branch ? branch
                          : "it is not known to lead to a current checkpoint "
                          "whose bitmap goes on (give tree= if there is a "
                          "checkpoint tree)", error);
  }
  for (guint i = way->len; i > 0 && first_end (disk, ends) >= 0; i--) {
    const Checkpoint *next = g_ptr_array_index (way, i - 1);
    const char *bitmap = checkpoint_bitmap (next, disk->target);
    if (bitmap
        && !add_parts_of (parts, forest, disk, next, bitmap, ends, error))
      return false;
  }
  const int end = first_end (disk, ends);
  return end < 0
    || not_recording (disk, checkpoint, (guint) end, "no later checkpoint's "
                      "bitmap is there, either", error);
}

/* NBD does not tell whether a bitmap still records, so whatever the server
 * offers of later checkpoints is a part, too: more than needed if it does.
 */
static bool
add_offered (GPtrArray *parts, const Forest *forest, const Disk *disk,
             const Checkpoint *checkpoint, guint8 *ends, GError **error)
{
  g_autoptr (GPtrArray) names = disk_bitmap_names (disk);
  g_autoptr (GPtrArray) later = forest_descendants (forest, checkpoint);

  for (guint i = 0; i < later->len; i++) {
    const Checkpoint *next = g_ptr_array_index (later, i);
    const char *bitmap = checkpoint_bitmap (next, disk->target);
    if (bitmap
        && g_ptr_array_find_with_equal_func (names, bitmap, g_str_equal, NULL)
        && !add_parts_of (parts, forest, disk, next, bitmap, ends, error))
      return false;
  }
  return true;
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
  const char *bitmap = checkpoint_bitmap (since, disk->target);
  if (!bitmap) {
    not_covered (forest, disk, checkpoint, error);
    return NULL;
  }
  if (!add_parts_of (parts, forest, disk, since, bitmap, ends, error))
    return NULL;
  for (guint i = 0; disk->also && i < disk->also->len; i++)
    if (!add_parts_of (parts, forest, disk, since,
                       g_ptr_array_index (disk->also, i), ends, error))
      return NULL;
  if (is_nbd (disk)
      ? !add_offered (parts, forest, disk, since, ends, error)
      : first_end (disk, ends) >= 0
      && !add_descendants (parts, forest, disk, since, ends, error))
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
