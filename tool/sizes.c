/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "source/view-size.h"
#include "tool/say.h"
#include "tool/subject.h"

static void
disk_size_free (gpointer data)
{
  DiskSize *size = data;

  g_free (size->target);
  g_free (size->why);
  g_free (size);
}

/* why: taken; NULL: the number is known. */
static void
add_size (GPtrArray *sizes, const char *target, guint64 bytes, GError *why)
{
  DiskSize *size = g_new0 (DiskSize, 1);

  size->target = g_strdup (target);
  size->bytes = bytes;
  size->why = why ? error_line (why, tool_remedies) : NULL;
  g_clear_error (&why);
  g_ptr_array_add (sizes, size);
}

static void
look_at_disk (const Subject *subject, const char *target,
              const Checkpoint *checkpoint, GPtrArray *sizes)
{
  guint64 bytes = 0;
  GError *why = NULL;

  if (!subject->source)
    error_set (&why, ENOTSUP, "%s", subject->no_sizes);
  else {
    const DiskView *view = catalogue_lookup (subject->catalogue, target,
                                             checkpoint->name, &why);
    if (view)
      view_dirty_bytes (subject->source, view, &bytes, &why);
  }
  add_size (sizes, target, bytes, why);
}

GPtrArray *
subject_sizes (const Subject *subject, const Checkpoint *checkpoint,
               guint64 *total, bool *known)
{
  GPtrArray *sizes = g_ptr_array_new_with_free_func (disk_size_free);
  const GPtrArray *disks = subject->source ? subject->source->disks : NULL;

  /* Of documents that do not say, all disks are meant. */
  for (guint i = 0; checkpoint->covers_any_disk && disks && i < disks->len;
       i++) {
    const Disk *disk = g_ptr_array_index (disks, i);
    look_at_disk (subject, disk->target, checkpoint, sizes);
  }
  for (guint i = 0; i < checkpoint->disks->len; i++) {
    const CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, i);
    if (disk->bitmap)
      look_at_disk (subject, disk->name, checkpoint, sizes);
  }
  *total = 0;
  *known = sizes->len > 0;
  for (guint i = 0; i < sizes->len; i++) {
    const DiskSize *size = g_ptr_array_index (sizes, i);
    *total += size->bytes;
    *known = *known && !size->why;
  }
  return sizes;
}
