/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Volumes take what is dirty in them from the disks, one after another, so that
 * what lies in two (tables of a guest's own may say anything) is counted once,
 * and what is left in the end lies in none.
 */
#include <config.h>

#include "filesystem/lvm.h"
#include "filesystem/partitions.h"
#include "filesystem/survey.h"

static Volume *
whole_disk (GArray *disks, guint index)
{
  const VolumeDisk *disk = &g_array_index (disks, VolumeDisk, index);
  Volume *volume = volume_new (disks, disk->name);

  volume_add (volume, disk->media->size, 0, &(VolumeArea) { index, 0 }, 1);
  return volume;
}

static void
add_line (GPtrArray *lines, const Volume *volume, guint64 bytes)
{
  Line *line = g_new0 (Line, 1);

  line->kind = volume->kind;
  line->bytes = bytes;
  line->volume = g_strdup (volume->name);
  line->text = g_strdup (volume->what);
  g_ptr_array_add (lines, line);
}

/* What partitions and logical volumes the disks have: of Volume.  Those that are
 * physical volumes come after all that is in them.
 */
static bool
find_volumes (GArray *disks, Lvm *lvm, GPtrArray *physical, GPtrArray *volumes,
              GError **error)
{
  g_autoptr (GPtrArray) found
    = g_ptr_array_new_with_free_func ((GDestroyNotify) volume_free);
  bool has_table;

  for (guint i = 0; i < disks->len; i++) {
    if (!partitions_find (disks, i, found, &has_table, error))
      return false;
    if (!has_table)
      g_ptr_array_add (found, whole_disk (disks, i));
  }
  while (found->len > 0) {
    Volume *volume = g_ptr_array_steal_index (found, 0);
    GError *failure = NULL;
    const bool is_physical = !volume->is_known
      && lvm_look (lvm, volume, &failure);
    g_ptr_array_add (is_physical ? physical : volumes, volume);
    if (failure) {
      g_propagate_error (error, failure);
      return false;
    }
  }
  lvm_find (lvm, volumes);
  return true;
}

static void
tell_unpartitioned (GArray *disks, GPtrArray *lines)
{
  for (guint i = 0; i < disks->len; i++) {
    VolumeDisk *disk = &g_array_index (disks, VolumeDisk, i);
    g_autoptr (Volume) volume = whole_disk (disks, i);
    g_autoptr (GArray) runs = volume_take (volume);
    volume_set (volume, LINE_UNPARTITIONED, "in no partition");
    if (runs->len > 0)
      add_line (lines, volume, runs_total ((const Run *) runs->data,
                                           runs->len));
    g_array_set_size (disk->dirty, 0);
  }
}

bool
survey_disks (Examiner *examiner, GArray *disks, const gint64 *since,
              GPtrArray *lines, GPtrArray *notes, GError **error)
{
  g_autoptr (GPtrArray) physical
    = g_ptr_array_new_with_free_func ((GDestroyNotify) volume_free);
  g_autoptr (GPtrArray) volumes
    = g_ptr_array_new_with_free_func ((GDestroyNotify) volume_free);
  g_autoptr (Lvm) lvm = lvm_new (disks);

  if (!find_volumes (disks, lvm, physical, volumes, error))
    return false;
  for (guint i = 0; i < volumes->len; i++) {
    Volume *volume = g_ptr_array_index (volumes, i);
    g_autoptr (GArray) runs = volume_take (volume);
    if (runs->len == 0)
      continue;
    if (volume->is_known)
      add_line (lines, volume, runs_total ((const Run *) runs->data,
                                           runs->len));
    else if (!examiner_look (examiner, volume, runs, since, lines, notes,
                             error))
      return false;
  }
  tell_unpartitioned (disks, lines);
  return true;
}
