/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>

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

/* error: why it is not known; NULL: nobody asks. */
static bool
disk_size (const Subject *subject, const char *target,
           const Checkpoint *checkpoint, guint64 *bytes, GError **error)
{
  if (!subject->source)
    return error_set (error, ENOTSUP, "%s", subject->no_sizes);
  const DiskView *view = catalogue_lookup (subject->catalogue, target,
                                           checkpoint->name, error);
  return view && view_dirty_bytes (subject->source, view, bytes, error);
}

GPtrArray *
subject_covered (const Subject *subject, const Checkpoint *checkpoint)
{
  GPtrArray *targets = g_ptr_array_new ();
  const GPtrArray *disks = checkpoint->covers_any_disk && subject->source
    ? subject->source->disks : NULL;

  for (guint i = 0; disks && i < disks->len; i++)
    g_ptr_array_add (targets, ((Disk *) g_ptr_array_index (disks, i))->target);
  for (guint i = 0; i < checkpoint->disks->len; i++) {
    const CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, i);
    if (disk->bitmap)
      g_ptr_array_add (targets, disk->name);
  }
  return targets;
}

GPtrArray *
subject_sizes (const Subject *subject, const Checkpoint *checkpoint)
{
  GPtrArray *sizes = g_ptr_array_new_with_free_func (disk_size_free);
  g_autoptr (GPtrArray) targets = subject_covered (subject, checkpoint);

  for (guint i = 0; i < targets->len; i++) {
    DiskSize *size = g_new0 (DiskSize, 1);
    g_autoptr (GError) why = NULL;
    size->target = g_strdup (g_ptr_array_index (targets, i));
    size->known = disk_size (subject, size->target, checkpoint, &size->bytes,
                             &why);
    if (!size->known)
      size->why = error_line (why, tool_remedies);
    g_ptr_array_add (sizes, size);
  }
  return sizes;
}

bool
subject_size (const Subject *subject, const Checkpoint *checkpoint,
              guint64 *bytes)
{
  g_autoptr (GPtrArray) targets = subject_covered (subject, checkpoint);

  *bytes = 0;
  for (guint i = 0; i < targets->len; i++) {
    guint64 more = 0;
    if (!disk_size (subject, g_ptr_array_index (targets, i), checkpoint, &more,
                    NULL))
      return false;
    *bytes += more;
  }
  return targets->len > 0;
}
