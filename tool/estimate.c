/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * estimate: what a backup since each checkpoint would cost.  No job is begun for
 * that: of a guest that runs, its libvirt or QEMU tell how much is dirty, and
 * nothing else.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "source/guest-tree.h"
#include "source/view-size.h"
#include "tool/command.h"
#include "tool/estimate.h"
#include "tool/quit.h"
#include "tool/say.h"
#include "tool/subject.h"

/* A millisecond or so each, more if they lie far away. */
#define CLUSTERS_SAMPLED 64

/* What rows are made from. */
typedef struct {
  Subject subject;
  OpenParts *parts;             /* NULL: nothing can be read */
  Progress *progress;
  Estimate estimate;
} Estimating;

static void
estimated_free (gpointer data)
{
  Estimated *row = data;

  g_free (row->checkpoint);
  g_free (row->target);
  g_free (row->why);
  g_free (row);
}

static void
estimating_clear (Estimating *self)
{
  g_clear_pointer (&self->progress, progress_free);
  g_clear_pointer (&self->parts, open_parts_free);
  subject_clear (&self->subject);
  g_ptr_array_unref (self->estimate.rows);
  g_ptr_array_unref (self->estimate.full);
  g_free (self->estimate.why_dirty_only);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Estimating, estimating_clear)

static Estimated *
add_row (GPtrArray *rows, const char *checkpoint, const char *target)
{
  Estimated *row = g_new0 (Estimated, 1);

  row->checkpoint = g_strdup (checkpoint);
  row->target = g_strdup (target);
  g_ptr_array_add (rows, row);
  return row;
}

/* ── What can be read ── */

/* False if we were told to end. */
static bool
measure (Estimating *self, Estimated *row, const DiskView *view)
{
  g_autoptr (GError) why = NULL;
  g_autoptr (OpenView) opened = open_view_new (self->parts, view, &why);

  row->is_known = opened && cost_count (&row->cost, opened, view->is_disk,
                                        self->progress, &why);
  if (row->is_known && !cost_sample (&row->cost, opened, CLUSTERS_SAMPLED,
                                     self->estimate.seed, self->progress, &why))
    row->cost.is_sampled = false;
  row->has_failed = !row->is_known;
  if (why)
    row->why = error_line (why, tool_remedies);
  return !quit_told ();
}

/* The disk itself, once. */
static bool
measure_whole (Estimating *self, const char *target)
{
  GPtrArray *full = self->estimate.full;

  for (guint i = 0; i < full->len; i++)
    if (strcmp (((Estimated *) g_ptr_array_index (full, i))->target, target)
        == 0)
      return true;
  const DiskView *view
    = catalogue_lookup (self->subject.catalogue, target, "", NULL);
  return !view || measure (self, add_row (full, NULL, target), view);
}

static bool
estimate_view (Estimating *self, const char *checkpoint, const char *target)
{
  Estimated *row = add_row (self->estimate.rows, checkpoint, target);
  const Subject *subject = &self->subject;
  g_autoptr (GError) why = NULL;
  const DiskView *view = catalogue_lookup (subject->catalogue, target,
                                           checkpoint, &why);

  if (view && self->parts)
    return measure (self, row, view);
  row->is_dirty_only = !self->parts;
  row->is_refused = !view;
  row->is_known = view && view_dirty_bytes (subject->source, view,
                                            &row->cost.dirty, &why);
  row->cost.exact = true;
  if (why)
    row->why = error_line (why, tool_remedies);
  /* A disk that was not named is none that has lost its record. */
  if (row->is_refused && !disk_find (subject->source->disks, target))
    row->is_refused = false;
  return !row->is_refused || !self->parts || measure_whole (self, target);
}

static bool
estimate_checkpoint (Estimating *self, const Checkpoint *checkpoint)
{
  g_autoptr (GPtrArray) targets
    = subject_covered (&self->subject, checkpoint);

  for (guint i = 0; i < targets->len; i++)
    if (!estimate_view (self, checkpoint->name,
                        g_ptr_array_index (targets, i)))
      return false;
  return true;
}

/* Bytes of maps and samples, more or less. */
static guint64
work (const Estimating *self, const GPtrArray *all)
{
  guint64 bytes = 0;

  for (guint i = 0; i < all->len; i++) {
    g_autoptr (GPtrArray) targets
      = subject_covered (&self->subject, g_ptr_array_index (all, i));
    for (guint j = 0; j < targets->len; j++) {
      const Disk *disk = disk_find (self->subject.source->disks,
                                    g_ptr_array_index (targets, j));
      if (disk)
        bytes += disk_layer (disk, 0)->size
          + CLUSTERS_SAMPLED * COST_CLUSTER;
    }
  }
  return bytes;
}

/* An export that has no checkpoint is one view all the same, or is refused. */
static Status
estimate_export (Estimating *self, GError **error)
{
  const DiskView *view
    = catalogue_lookup (self->subject.catalogue, NULL, NULL, error);

  if (!view)
    return STATUS_FAILED;
  measure (self, add_row (self->estimate.rows, NULL, view->disk->target),
           view);
  return STATUS_FINE;
}

static Status
estimate_disks (Estimating *self, const Options *options, const char *name,
                GError **error)
{
  const Subject *subject = &self->subject;
  g_autoptr (GPtrArray) chosen = g_ptr_array_new ();
  const Checkpoint *only
    = name ? subject_checkpoint (subject, name, error) : NULL;
  const GPtrArray *all = forest_all (subject->forest);

  if (name && !only)
    return STATUS_FOUND;
  if (!subject->source) {
    error_set (error, ENOTSUP, "%s", subject->no_sizes);
    return STATUS_FAILED;
  }
  for (guint i = 0; i < all->len; i++)
    if (!only || only == g_ptr_array_index (all, i))
      g_ptr_array_add (chosen, g_ptr_array_index (all, i));
  if (!options->request.qmp)
    self->parts = open_parts_new (subject->source, true, 0);
  else
    self->estimate.why_dirty_only
      = g_strdup ("the guest runs, and its QEMU tells no more without a backup");
  self->progress = progress_new ("estimating", work (self, chosen));
  if (chosen->len == 0 && options->request.uris->len > 0)
    return estimate_export (self, error);
  for (guint i = 0; i < chosen->len; i++)
    if (!estimate_checkpoint (self, g_ptr_array_index (chosen, i)))
      break;
  return STATUS_FINE;
}

/* ── What libvirt tells of a guest that runs ── */

static void
add_told (Estimating *self, const GuestTree *tree,
          const Checkpoint *checkpoint)
{
  for (guint i = 0; i < checkpoint->disks->len; i++) {
    const CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, i);
    if (!disk->bitmap)
      continue;
    Estimated *row
      = add_row (self->estimate.rows, checkpoint->name, disk->name);
    row->is_dirty_only = true;
    row->is_known = disk->has_size;
    row->is_refused = !disk->has_size && !tree->job;
    row->has_failed = !disk->has_size && tree->job;
    row->cost.dirty = disk->size;
    row->cost.exact = true;
    if (tree->job)
      row->why = error_line (tree->job, tool_remedies);
    else if (!disk->has_size)
      row->why = g_strdup_printf (
        "libvirt finds no bitmap %s that it could take: it is missing or "
        "inconsistent; make a full backup, with a new checkpoint", disk->bitmap);
  }
}

static Status
estimate_running (Estimating *self, const GuestTree *tree, const char *name,
                  GError **error)
{
  const GPtrArray *all = forest_all (tree->forest);
  const Checkpoint *only = name ? forest_lookup (tree->forest, name) : NULL;

  if (name && !only) {
    parts_unknown_checkpoint (tree->forest, name, error);
    return STATUS_FOUND;
  }
  self->estimate.why_dirty_only
    = g_strdup ("the guest runs, and libvirt tells no more without a backup");
  for (guint i = 0; i < all->len; i++)
    if (!only || only == g_ptr_array_index (all, i))
      add_told (self, tree, g_ptr_array_index (all, i));
  return STATUS_FINE;
}

/* *tree: of a guest that runs; else it is left as it is. */
static bool
ask_libvirt (const Options *options, GuestTree *tree, GError **error)
{
  const DocumentRequest wanted = { .sizes = true };

  return !options->request.libvirt || options->request.files->len > 0
    || (subject_check_words (options, error)
        && guest_tree_load (&options->request, &wanted, &tool_reporter, tree,
                            error));
}

/* ── The command ── */

static Status
estimate_all (Estimating *self, const Options *options, GError **error)
{
  Options wanted = *options;    /* what it points to is borrowed */
  const char *name = options_word (options);
  g_auto (GuestTree) tree = { 0 };

  wanted.size = true;
  if (!options_seed (options, &self->estimate.seed, error)
      || !subject_check_disks (options, error)
      || !ask_libvirt (options, &tree, error))
    return STATUS_FAILED;
  if (tree.running)
    return estimate_running (self, &tree, name, error);
  open_parts_raise_limit ();
  if (!subject_open (&self->subject, &wanted, NULL, &tool_reporter, error))
    return STATUS_FAILED;
  quit_listen ();
  return estimate_disks (self, options, name, error);
}

static Status
status_of (const Estimate *estimate)
{
  Status status = STATUS_FINE;

  for (guint i = 0; i < estimate->rows->len; i++) {
    const Estimated *row = g_ptr_array_index (estimate->rows, i);
    if (row->has_failed)
      return STATUS_FAILED;
    if (row->is_refused)
      status = STATUS_FOUND;
  }
  return status;
}

Status
command_estimate (const Options *options, GError **error)
{
  g_auto (Estimating) self = { .estimate = {
    .rows = g_ptr_array_new_with_free_func (estimated_free),
    .full = g_ptr_array_new_with_free_func (estimated_free) } };
  const Status status = estimate_all (&self, options, error);

  g_clear_pointer (&self.progress, progress_free);
  if (status != STATUS_FINE || quit_told ())
    return status;
  if (options->json)
    estimate_print_json (&self.estimate);
  else
    estimate_print_table (&self.estimate);
  return status_of (&self.estimate);
}
