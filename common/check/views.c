/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Each disk since each checkpoint: can a backup have it?
 */
#include <config.h>

#include <string.h>

#include "parts/refuse.h"
#include "check/internal.h"

static void
mend_refusal (const Check *check, Finding *finding, const Disk *disk,
              const Checkpoint *checkpoint, Reason reason)
{
  const char *bitmap = checkpoint_bitmap (checkpoint, disk->target);

  switch (reason) {
  case REASON_MISSING:
  case REASON_LOST:
  case REASON_INCONSISTENT:
    finding->command = mend_record (check, disk, disk->target, checkpoint,
                                    &finding->is_safe);
    break;
  /* What goes on may be of a checkpoint whose document is lost. */
  case REASON_DISABLED:
  case REASON_NO_WAY:
    if (!check_is_needed (check, disk->target, bitmap))
      finding->command
        = mend_bitmap (check, disk, bitmap, &finding->is_safe);
    break;
  case REASON_VOID:
    /* That removes what may be void of others, too. */
    if (check_is_usable (check, disk->target, NULL))
      finding->command = mend_record (check, disk, disk->target, checkpoint,
                                      &finding->is_safe);
    else if (!check->runs)
      finding->command = mend_void (check, disk, &finding->is_safe);
    break;
  case REASON_OTHER_DISK:
    finding->command
      = mend_exchanged (check, disk->roster, disk->target, checkpoint);
    break;
  default:
    break;
  }
  if (finding->command && !*finding->command)
    g_clear_pointer (&finding->command, g_free);
}

static void
add_refusal (Check *check, const Disk *disk, const Checkpoint *checkpoint,
             const GError *error)
{
  const Reason reason = error_reason (error);
  Finding *finding = finding_new (check_kind (error, FINDING_REFUSED));

  finding->severity = SEVERITY_PROBLEM;
  finding_add_disk (finding, disk->target);
  finding_add_checkpoint (finding, checkpoint->name);
  finding->file = g_strdup (error_file (error));
  mend_refusal (check, finding, disk, checkpoint, reason);
  finding->why = finding->command ? g_strdup (error->message)
    : error_line (error, check->asked->reporter->remedies);
  check_add (check, finding);
}

bool
check_is_needed (const Check *check, const char *disk, const char *bitmap)
{
  g_autofree char *key = g_strdup_printf ("%s/%s", disk, bitmap);

  return g_hash_table_contains (check->needed, key);
}

static void
note_needed (Check *check, const DiskView *view)
{
  for (guint i = 0; i < view->parts->len; i++) {
    const Part *part = g_ptr_array_index (view->parts, i);
    if (part->bitmap)
      g_hash_table_add (check->needed, g_strdup_printf (
        "%s/%s", view->disk->target, part->bitmap->name));
  }
}

static void
look_at_view (Check *check, const Disk *disk, const Checkpoint *checkpoint,
              GPtrArray *refusals)
{
  GError *why = NULL;
  const DiskView *view = catalogue_lookup (check->catalogue, disk->target,
                                           checkpoint->name, &why);

  check_note_view (check, disk->target, checkpoint->name, view != NULL);
  g_ptr_array_add (refusals, why);
  if (!view)
    return;
  note_needed (check, view);
  check_layers (check, view);
}

/* Documents name disks that are not among these. */
static void
look_for_disks (Check *check, const Checkpoint *checkpoint)
{
  for (guint i = 0; i < checkpoint->disks->len; i++) {
    const CheckpointDisk *covered = g_ptr_array_index (checkpoint->disks, i);
    const char *target = covered->name;
    if (!covered->bitmap || disk_find (check->source->disks, target)
        || g_hash_table_contains (check->unseen, target)
        || source_left_out (check->source, target))
      continue;
    Finding *finding
      = finding_new (check->guest ? FINDING_NOT_THERE : FINDING_NOT_SEEN);
    finding_add_disk (finding, target);
    finding_add_checkpoint (finding, checkpoint->name);
    finding->why = check->guest
      ? g_strdup_printf ("guest %s has no disk %s any more", check->guest,
                         target)
      : g_strdup_printf ("disk %s is not among those that were named", target);
    check_add (check, finding);
  }
}

/* What no checkpoint covers, and why. */
static void
look_for_uncovered (Check *check)
{
  const GPtrArray *left_out = check->source->left_out;

  for (guint i = 0; i < check->source->disks->len; i++) {
    const Disk *disk = g_ptr_array_index (check->source->disks, i);
    g_autoptr (GPtrArray) bitmaps = disk_bitmap_names (disk);
    if (bitmaps->len > 0 || check_covers (check, disk->target)
        || disk_void_layer (disk))
      continue;
    Finding *finding = finding_new (FINDING_NOT_QCOW2);
    g_autoptr (GError) why = NULL;
    finding_add_disk (finding, disk->target);
    finding->file = g_strdup (disk_layer (disk, 0)->path);
    parts_nothing_recorded (disk, &why);
    finding->why = g_strdup (why->message);
    check_add (check, finding);
  }
  for (guint i = 0; left_out && i < left_out->len; i++) {
    const LeftOut *one = g_ptr_array_index (left_out, i);
    if (one->belongs)
      check_unseen (check, one->target, one->why, false);
  }
}

void
check_views (Check *check)
{
  const GPtrArray *all = forest_all (check->forest);
  const GPtrArray *disks = check->source->disks;
  g_autoptr (GPtrArray) refusals = g_ptr_array_new ();
  guint next = 0;

  /* What is typed against one depends on all. */
  for (guint i = 0; i < all->len; i++)
    for (guint j = 0; j < disks->len; j++)
      if (checkpoint_bitmap (g_ptr_array_index (all, i),
                             ((Disk *) g_ptr_array_index (disks, j))->target))
        look_at_view (check, g_ptr_array_index (disks, j),
                      g_ptr_array_index (all, i), refusals);
  for (guint i = 0; i < all->len; i++) {
    const Checkpoint *checkpoint = g_ptr_array_index (all, i);
    for (guint j = 0; j < disks->len; j++) {
      const Disk *disk = g_ptr_array_index (disks, j);
      if (!checkpoint_bitmap (checkpoint, disk->target))
        continue;
      g_autoptr (GError) why = g_ptr_array_index (refusals, next);
      next++;
      if (why)
        add_refusal (check, disk, checkpoint, why);
    }
    look_for_disks (check, checkpoint);
  }
  look_for_uncovered (check);
}
