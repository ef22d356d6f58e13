/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What can be known to fail before a client comes is said at start-up.
 */
#include <config.h>

#include <string.h>

#include "exports.h"

/* With checkpoint=: the disk must be servable since it. */
static bool
check_since (const Source *source, const Settings *settings, const Disk *disk,
             GError **error)
{
  g_autoptr (GPtrArray) parts
    = exports_parts (source, disk, settings->checkpoint, error);

  return parts != NULL;
}

/* Without: one checkpoint must be; the others are reported together. */
static bool
check_any (const Source *source, const Disk *disk,
           void (*warn) (const char *message), GError **error)
{
  const GPtrArray *all = forest_all (source->forest);
  g_autoptr (GError) first = NULL;
  guint good = 0, bad = 0;

  for (guint i = 0; i < all->len; i++) {
    const Checkpoint *checkpoint = g_ptr_array_index (all, i);
    g_autoptr (GError) refusal = NULL;

    if (!checkpoint_bitmap (checkpoint, disk->target))
      continue;
    g_autoptr (GPtrArray) parts
      = parts_plan (source->forest, disk, checkpoint->name, &refusal);
    if (parts)
      good++;
    else if (bad++ == 0)
      first = g_steal_pointer (&refusal);
  }
  if (disk->full)
    return true;
  if (good == 0 && bad == 0)
    return parts_nothing_recorded (disk, error);
  if (good == 0) {
    g_propagate_error (error, g_steal_pointer (&first));
    return false;
  }
  if (bad > 0) {
    g_autofree char *message
      = g_strdup_printf ("%u of %u checkpoints cannot be served for disk %s "
                         "and are not listed; the first: %s", bad,
                         good + bad, disk->target, first->message);
    warn (message);
  }
  return true;
}

bool
exports_check (const Source *source, const Settings *settings,
               void (*warn) (const char *message), GError **error)
{
  g_autoptr (GError) first = NULL;
  guint good = 0;

  if (settings->disk && !exports_find_disk (source, settings->disk, error))
    return false;
  if (settings->checkpoint
      && !forest_lookup (source->forest, settings->checkpoint))
    return parts_unknown_checkpoint (source->forest, settings->checkpoint,
                                     error);
  for (guint i = 0; i < source->disks->len; i++) {
    const Disk *disk = g_ptr_array_index (source->disks, i);
    g_autoptr (GError) refusal = NULL;

    if (settings->disk && strcmp (settings->disk, disk->target) != 0)
      continue;
    if (settings->checkpoint
        ? check_since (source, settings, disk, &refusal)
        : check_any (source, disk, warn, &refusal))
      good++;
    else if (!first)
      first = g_steal_pointer (&refusal);
    else
      warn (refusal->message);
  }
  if (good > 0 && first)
    warn (first->message);
  if (good > 0)
    return true;
  g_propagate_error (error, g_steal_pointer (&first));
  return false;
}
