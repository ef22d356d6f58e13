/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The words of parts.c's refusals.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "parts/parts.h"
#include "parts/refuse.h"

#define NAMES_SHOWN 8

static const char *
top_path (const Disk *disk)
{
  return disk_layer (disk, 0)->path;
}

static bool
is_nbd (const Disk *disk)
{
  return disk_layer (disk, 0)->is_nbd;
}

char *
parts_strayed (const char *who, const char *path)
{
  return g_strdup_printf ("%s names %s, which is not in its chain any more; if "
                          "that was merged, rebased or copied by hand "
                          "(qemu-img commit, rebase, convert), not by libvirt, "
                          "changed blocks are missing from the record and a "
                          "full backup is due", who, path);
}

bool
parts_none_yet (const char *checkpoint, Remedy remedy, GError **error)
{
  return error_set (error, ENOENT, "there is no checkpoint %s, nor any other",
                    checkpoint)
    || error_advise (error, remedy, checkpoint, NULL);
}

bool
parts_unknown_checkpoint (const Forest *forest, const char *checkpoint,
                          GError **error)
{
  if (!error)
    return false;

  if (forest_size (forest) == 0)
    return parts_none_yet (checkpoint, REMEDY_FIRST_OF_ALL, error);
  g_autoptr (GPtrArray) names = forest_names (forest);
  g_autofree char *nearest = nearest_names (checkpoint, names, NAMES_SHOWN);

  return error_set (error, ENOENT, "there is no checkpoint %s; known are: %s",
                    checkpoint, nearest);
}

bool
parts_forgotten (const char *checkpoint, const GPtrArray *targets,
                 const char *command, GError **error)
{
  g_autofree char *disks = nearest_names (NULL, targets, NAMES_SHOWN);

  if (!command)
    return error_set (error, ENOENT, "there is no document of checkpoint %s, "
                      "but disk %s has a bitmap of that name", checkpoint,
                      disks)
      || error_advise (error, REMEDY_LEAVE_TREE_OUT, NULL);
  return error_set (error, ENOENT, "libvirt does not know checkpoint %s, but "
                    "disk %s has a bitmap of that name (libvirt may have "
                    "forgotten it: migration, --metadata, a guest defined "
                    "anew); tell it again with: %s", checkpoint, disks,
                    command);
}

bool
parts_can_record (const Disk *disk, GError **error)
{
  const Layer *top = disk_layer (disk, 0);

  if (top->is_nbd || !top->format || strcmp (top->format, "qcow2") == 0)
    return true;
  error_set (error, ENOENT, "disk %s: %s is %s, and only qcow2 holds dirty "
             "bitmaps, so nothing was recorded", disk->target, top->path,
             top->format);
  error_sort (error, REASON_NOT_QCOW2, top->path);
  return error_advise (error, REMEDY_SERVE_WHOLE, NULL);
}

bool
parts_nothing_recorded (const Disk *disk, GError **error)
{
  if (!parts_can_record (disk, error))
    return false;
  if (disk->shown_itself)
    return error_set (error, ENOENT, "disk %s: %s shows the disk itself, and "
                      "none of its changes; ask that server for the export %s, "
                      "or %s@CHECKPOINT", disk->target, top_path (disk),
                      disk->target, disk->target);
  if (is_nbd (disk) && disk_layer (disk, 0)->bitmaps->len == 0)
    return error_set (error, ENOENT, "disk %s: %s offers no dirty bitmap; "
                      "export one with: qemu-nbd --read-only -B NAME, or with "
                      "virsh backup-begin and <incremental>", disk->target,
                      top_path (disk));
  const Layer *layer = disk_void_layer (disk);
  if (layer)
    return parts_void (disk, layer, NULL, error);
  error_set (error, ENOENT, "disk %s: no checkpoint or bitmap covers it (%s), "
             "so nothing was recorded", disk->target, top_path (disk));
  return error_advise (error, is_nbd (disk) ? REMEDY_FULL_BACKUP
                       : REMEDY_SERVE_WHOLE, NULL);
}

bool
parts_not_covered (const Forest *forest, const Disk *disk,
                   const char *checkpoint, GError **error)
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
  /* One of a job's bitmaps is no checkpoint, but another disk's. */
  if (offered && !g_str_has_prefix (bitmap, "backup-")) {
    error_set (error, ENOENT, "disk %s: %s does not offer bitmap %s, but %s, "
               "as libvirt's pull-mode jobs do whatever the checkpoint",
               disk->target, top_path (disk), bitmap, offered);
    return error_advise (error, REMEDY_NAME_BITMAP, offered, bitmap, NULL);
  }
  error_set (error, ENOENT, "disk %s: %s does not offer bitmap %s; it offers: "
             "%s", disk->target, top_path (disk), bitmap, nearest);
  return error_advise (error, REMEDY_CHOOSE_BITMAP, bitmap, NULL);
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

/* A tree has branches when a snapshot was reverted and the guest went on from
 * there.
 */
char *
parts_branch_reason (const Forest *forest, const Disk *disk,
                     const Checkpoint *checkpoint)
{
  const GPtrArray *all = forest_all (forest);
  const Checkpoint *root = checkpoint, *other = NULL;

  if (forest_current (forest))  /* no branches */
    return NULL;
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

bool
parts_missing (const Forest *forest, const Disk *disk,
               const Checkpoint *checkpoint, const char *bitmap,
               GError **error)
{
  if (!error)
    return false;
  if (is_nbd (disk))
    return missing_from_server (disk, bitmap, error);
  const Layer *layer = disk_void_layer (disk);
  if (layer)
    return parts_void (disk, layer, bitmap, error);

  g_autoptr (GPtrArray) names = disk_bitmap_names (disk);
  g_autofree char *nearest = nearest_names (bitmap, names, NAMES_SHOWN);
  if (disk->as_it_stood)
    return error_set (error, ENOENT, "disk %s: bitmap %s is not in %s nor "
                      "below it; there are: %s", disk->target, bitmap,
                      top_path (disk), nearest);
  const char *domain
    = checkpoint->domain_name ? checkpoint->domain_name : "DOMAIN";
  g_autofree char *command
    = error_virsh (disk->libvirt_uri, "checkpoint-delete --metadata", domain,
                   checkpoint->name);
  g_autofree char *branch = parts_branch_reason (forest, disk, checkpoint);
  g_autofree char *forget = g_strconcat (
    " of all disks", branch || has_disabled (disk) ? NULL
    : "; once no other disk needs the checkpoint, forget it with: ", command,
    NULL);
  error_set (error, ENOENT, "disk %s: bitmap %s is not in %s nor below it "
             "(there are: %s), so what changed since checkpoint %s is lost%s%s",
             disk->target, bitmap, top_path (disk),
             names->len > 0 ? nearest : "none", checkpoint->name,
             branch ? ": " : "", branch ? branch : "");
  error_sort (error, REASON_MISSING, top_path (disk));
  return error_advise (error, REMEDY_FULL_BACKUP, forget, NULL);
}
