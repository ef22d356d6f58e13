/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What a checkpoint that is to be made does not say.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "record/plan.h"
#include "record/record.h"
#include "source/current.h"
#include "source/source.h"

#define NAMES_SHOWN 8

static bool
check_name (const Record *record, const Checkpoint *checkpoint,
            GError **error)
{
  if (!checkpoint_name_valid (checkpoint->name))
    return error_set (error, EINVAL, "'%.64s' cannot be the name of a "
                      "checkpoint: letters, digits, _ - and . (not first) are "
                      "allowed", checkpoint->name);
  if (forest_lookup (record->forest, checkpoint->name))
    return error_set (error, EEXIST, "checkpoint %s already exists; choose "
                      "another name", checkpoint->name);
  return true;
}

/* As virDomainDiskByName: by its target, or by a path that is one disk's only. */
static const Disk *
find_disk (const GPtrArray *disks, const char *name)
{
  const Disk *found = disk_find (disks, name);

  for (guint i = 0; *name == '/' && i < disks->len; i++) {
    const Disk *disk = g_ptr_array_index (disks, i);
    if (strcmp (disk_layer (disk, 0)->path, name) != 0)
      continue;
    if (found)
      return NULL;
    found = disk;
  }
  return found;
}

static const LeftOut *
find_left_out (const Record *record, const char *name)
{
  for (guint i = 0; record->left_out && i < record->left_out->len; i++) {
    const LeftOut *left_out = g_ptr_array_index (record->left_out, i);
    if (strcmp (left_out->target, name) == 0)
      return left_out;
  }
  return NULL;
}

static bool
no_such_disk (const Record *record, const char *name, GError **error)
{
  g_autoptr (GPtrArray) targets = g_ptr_array_new ();

  for (guint i = 0; i < record->disks->len; i++)
    g_ptr_array_add (targets, ((const Disk *) g_ptr_array_index (
                       record->disks, i))->target);
  g_autofree char *nearest = nearest_names (name, targets, NAMES_SHOWN);
  return error_set (error, ENOENT, "no disk named '%s'; there are: %s", name,
                    nearest);
}

static bool
cannot_cover (const LeftOut *left_out, GError **error)
{
  error_set (error, left_out->why->code, "disk %s cannot be covered: %s",
             left_out->target, left_out->why->message);
  error_advise_as (error, left_out->why);
  return error_advise (error, REMEDY_COVER_OTHERS, left_out->target, NULL);
}

/* Give a disk that was asked for its target's name. */
static bool
check_listed (const Record *record, const Checkpoint *checkpoint,
              CheckpointDisk *listed, GError **error)
{
  const Disk *disk = find_disk (record->disks, listed->name);
  const LeftOut *left_out = disk ? NULL : find_left_out (record, listed->name);

  if (!disk && !left_out)
    return no_such_disk (record, listed->name, error);
  if (listed->bitmap && strcmp (listed->bitmap, checkpoint->name) != 0)
    return error_set (error, EINVAL, "bitmap for disk '%s' must match "
                      "checkpoint name '%s', and not be %s", listed->name,
                      checkpoint->name, listed->bitmap);
  if (left_out)
    return !listed->bitmap || cannot_cover (left_out, error);
  g_ref_string_release (listed->name);
  listed->name = g_ref_string_new_intern (disk->target);
  for (guint i = 0; i < checkpoint->disks->len; i++) {
    const CheckpointDisk *other = g_ptr_array_index (checkpoint->disks, i);
    if (other == listed)
      break;
    if (other->name == listed->name)
      return error_set (error, EINVAL, "disk '%s' specified twice",
                        listed->name);
  }
  return true;
}

/* What was not listed is covered only if nothing was. */
static bool
add_others (const Record *record, Checkpoint *checkpoint, bool all,
            GError **error)
{
  for (guint i = 0; i < record->disks->len; i++) {
    const Disk *disk = g_ptr_array_index (record->disks, i);
    if (checkpoint_disk (checkpoint, disk->target))
      continue;
    if (all && !plan_can_record (disk, error))
      return false;
    checkpoint_add_disk (checkpoint, disk->target,
                         all ? checkpoint->name : NULL);
  }
  for (guint i = 0; record->left_out && i < record->left_out->len; i++) {
    const LeftOut *left_out = g_ptr_array_index (record->left_out, i);
    if (checkpoint_disk (checkpoint, left_out->target))
      continue;
    if (all && left_out->belongs)
      return cannot_cover (left_out, error);
    checkpoint_add_disk (checkpoint, left_out->target, NULL);
  }
  return true;
}

static int
compare_disks (gconstpointer a, gconstpointer b)
{
  const CheckpointDisk *left = *(CheckpointDisk *const *) a;
  const CheckpointDisk *right = *(CheckpointDisk *const *) b;

  return strcmp (left->name, right->name);
}

static bool
complete_disks (const Record *record, Checkpoint *checkpoint, GError **error)
{
  const bool all = checkpoint->disks->len == 0;

  for (guint i = 0; i < checkpoint->disks->len; i++) {
    CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, i);
    if (!check_listed (record, checkpoint, disk, error))
      return false;
  }
  checkpoint->covers_any_disk = false;
  if (!add_others (record, checkpoint, all, error))
    return false;
  g_ptr_array_sort (checkpoint->disks, compare_disks);
  return true;
}

bool
record_complete (const Record *record, Checkpoint *checkpoint, GError **error)
{
  if (!check_name (record, checkpoint, error))
    return false;
  if (!record->disks)
    return true;
  const Checkpoint *current = !record->has_documents ? NULL
    : record->has_own_current ? forest_current (record->forest)
    : current_on_disks (record->forest, record->disks);
  checkpoint_set_parent_name (checkpoint, current ? current->name : NULL);
  return complete_disks (record, checkpoint, error);
}
