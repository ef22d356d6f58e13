/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * files: which files lie in what has changed.
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "filesystem/survey.h"
#include "tool/command.h"
#include "tool/files-print.h"
#include "tool/progress.h"
#include "tool/reading.h"
#include "tool/say.h"

/* 16 bytes each. */
#define RUNS_MAX (16 * 1024 * 1024)

/* A disk as the file systems' readers read it. */
typedef struct {
  Media media;
  OpenView *view;
  Progress *progress;           /* borrowed */
} Shown;

static bool
read_shown (Media *media, void *buffer, guint32 count, guint64 offset,
            GError **error)
{
  const Shown *self = (const Shown *) media;

  progress_add (self->progress, count);
  return open_view_read (self->view, buffer, count, offset, error);
}

static void
free_shown (void *data)
{
  Shown *shown = data;

  open_view_free (shown->view);
  g_free (shown);
}

static bool
add_run (void *opaque, guint64 offset, guint64 length, DirtyState state)
{
  GArray *runs = opaque;

  if (state != DIRTY_MAP_CLEAN)
    runs_append (runs, offset, offset + length);
  return runs->len < RUNS_MAX;
}

/* Where runs begin and end, granules do: so a granule is that large, or smaller. */
static guint64
granularity_seen (const GArray *runs, guint64 size)
{
  guint64 bits = (guint64) 1 << 62;

  for (guint i = 0; i < runs->len; i++) {
    const Run *run = &g_array_index (runs, Run, i);
    bits |= run->start | (run->end < size ? run->end : 0);
  }
  return bits & -bits;
}

/* Of the coarsest record, as the ends of a finer one's runs tell nothing of it.  0:
 * it is not known.
 */
static guint64
granularity (const DiskView *view, const GArray *runs, guint64 size)
{
  guint64 coarsest = granularity_seen (runs, size);

  if (view->disk->mixes_records)
    return 0;
  for (guint i = 0; i < view->parts->len; i++) {
    const guint64 told
      = part_granularity (view->disk, g_ptr_array_index (view->parts, i));
    if (told == 0 && view->parts->len > 1)
      return 0;
    coarsest = MAX (coarsest, told);
  }
  return coarsest;
}

typedef struct {
  GPtrArray *shown;             /* of Shown */
  GArray *disks;                /* of VolumeDisk */
  Progress *progress;
} Disks;

static void
clear_disk (void *data)
{
  VolumeDisk *disk = data;

  g_free (disk->name);
  g_array_unref (disk->dirty);
}

static bool
add_disk (const Reading *reading, const DiskView *view, Disks *disks,
          GError **error)
{
  OpenView *open = open_view_new (reading->parts, view, error);
  g_autoptr (GArray) runs = runs_new ();

  if (!open)
    return false;
  Shown *shown = g_new0 (Shown, 1);
  *shown = (Shown) { { open_view_size (open), read_shown }, open,
                     disks->progress };
  g_ptr_array_add (disks->shown, shown);
  if (!open_view_visit (open, 0, shown->media.size, add_run, runs, error))
    return (error && *error) ? false
      : error_set (error, EFBIG, "disk %s: too much of it has changed here and "
                    "there to tell of files", view->disk->target);
  const VolumeDisk disk = {
    g_strdup (view->disk->target), &shown->media, g_array_ref (runs),
    granularity (view, runs, shown->media.size)
  };
  g_array_append_val (disks->disks, disk);
  return true;
}

/* The disks that were asked for, those that have a record.  False: none has. */
static bool
open_disks (const Reading *reading, const Options *options,
            const char *checkpoint, Disks *disks, FilesFound *found,
            GError **error)
{
  const GPtrArray *all = reading->source->disks;
  const char *wanted = options->request.disk;
  GError *refusal = NULL;

  for (guint i = 0; i < (wanted ? 1 : all->len); i++) {
    const char *target
      = wanted ? wanted : ((const Disk *) g_ptr_array_index (all, i))->target;
    GError *why = NULL;
    const DiskView *view = catalogue_lookup (reading->catalogue, target,
                                             checkpoint, &why);
    if (!view) {
      g_ptr_array_add (found->left_out, g_strdup (target));
      if (all->len > 1 && !wanted)
        reporter_warn_error (&tool_reporter, why);
      g_clear_error (&refusal);
      refusal = why;
      continue;
    }
    if (!add_disk (reading, view, disks, error)) {
      g_clear_error (&refusal);
      return false;
    }
    g_ptr_array_add (found->disks, g_strdup (target));
    if (view->checkpoint) {
      found->checkpoint = view->checkpoint->name;
      found->has_since = view->checkpoint->has_creation_time;
      found->since = view->checkpoint->creation_time;
    }
  }
  if (disks->disks->len == 0) {
    g_propagate_error (error, refusal);
    return false;
  }
  g_clear_error (&refusal);
  return true;
}

static bool
look (const Reading *reading, Examiner *examiner, const Options *options,
      FilesFound *found, GError **error)
{
  g_autoptr (Progress) progress = progress_new ("looking into disks", 0);
  g_autoptr (GPtrArray) shown = g_ptr_array_new_with_free_func (free_shown);
  g_autoptr (GArray) all = g_array_new (FALSE, FALSE, sizeof (VolumeDisk));
  Disks disks = { shown, all, progress };

  g_array_set_clear_func (all, clear_disk);
  if (!open_disks (reading, options, options_word (options), &disks, found, error))
    return false;
  const gint64 since = found->since;
  return survey_disks (examiner, all, found->has_since ? &since : NULL,
                       found->lines, found->notes, error);
}

Status
command_files (const Options *options, GError **error)
{
  g_autoptr (Examiner) examiner = examiner_start (error);
  g_auto (Reading) reading = { 0 };
  g_autoptr (GPtrArray) targets = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) left_out = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) notes = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) lines
    = g_ptr_array_new_with_free_func ((GDestroyNotify) line_free);
  FilesFound found = { .disks = targets, .left_out = left_out, .lines = lines,
                       .notes = notes };

  if (!examiner
      || !reading_open (&reading, options, options_word (options), error))
    return STATUS_FAILED;
  if (!look (&reading, examiner, options, &found, error))
    return STATUS_FAILED;
  if (options->json)
    files_print_json (&found);
  else {
    files_print (&found);
    reporter_warn_all (&tool_reporter, notes);
  }
  return left_out->len > 0 ? STATUS_FOUND : STATUS_FINE;
}
