/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "base/nearest.h"
#include "tool/quit.h"
#include "tool/reading.h"
#include "tool/say.h"
#include "tool/subject.h"
#include "tool/whose.h"
#include "tree/load.h"

#define NAMES_SHOWN 8

/* The job ends before its connections are closed. */
static void
close_source (Reading *reading)
{
  Source *source = reading->source;

  if (source && source->ops->stop)
    source->ops->stop (source);
  g_clear_pointer (&reading->parts, open_parts_free);
  g_clear_pointer (&reading->catalogue, catalogue_free);
  if (source)
    source->ops->free (source);
  reading->source = NULL;
}

/* NULL without an error: no documents are named. */
static Forest *
load_documents (const Options *options, const Reporter *reporter,
                GError **error)
{
  g_autoptr (GPtrArray) skipped = g_ptr_array_new_with_free_func (g_free);
  Forest *tree = options->tree
    ? tree_load (options->tree, options->request.domain, skipped, error) : NULL;

  if (tree) {
    reporter_warn_all (reporter, skipped);
    reporter_warn_all (reporter, forest_problems (tree));
  }
  return tree;
}

/* of_tree: who hears what is wrong with documents. */
static bool
inspect (Reading *reading, const Options *options, const Reporter *of_tree,
         GError **error)
{
  const SourceOps *ops = source_choose (&reading->request, error);
  GError *failure = NULL;

  if (!ops)
    return false;
  Forest *tree = load_documents (options, of_tree, &failure);
  if (failure) {
    g_propagate_error (error, failure);
    return false;
  }
  reading->source = ops->inspect (&reading->request, tree, &tool_reporter,
                                  error);
  return reading->source != NULL;
}

/* The checkpoints of the disk that is asked for, or of any. */
static GPtrArray *
checkpoints_of (const Source *source, const char *target)
{
  const GPtrArray *all = forest_all (source->offer->forest);
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < all->len; i++) {
    const Checkpoint *one = g_ptr_array_index (all, i);
    if (!target || checkpoint_bitmap (one, target))
      g_ptr_array_add (names, g_strdup (one->name));
  }
  return names;
}

/* None that is named, and not one only; or there is no such disk, as the catalogue
 * says it.
 */
static bool
say_checkpoints (Reading *reading, const Options *options,
                 const GPtrArray *names, GError **error)
{
  const char *target = reading->request.disk;
  g_autofree char *known = nearest_names (NULL, names, NAMES_SHOWN);
  g_autofree char *whose = whose_text (options);

  if (names->len > 0)
    return error_set (error, EINVAL, "the guest runs, and is read by a backup job, "
                      "which is since one checkpoint: name that (%s) of %s",
                      reading->say_which ? reading->say_which : "NAME", known);
  reading->lacks_checkpoint
    = !target || disk_find (reading->source->disks, target);
  reading->catalogue = catalogue_new (reading->source, &reading->request);
  return (!target
          || catalogue_lookup (reading->catalogue, target, NULL, error))
    && error_set (error, ENOENT, "the guest's disks have no checkpoint, so nothing "
                  "was recorded; to make one, type: qemu-checkpoint create NAME %s",
                  whose);
}

/* A running guest was looked at only, since no checkpoint is named: its job is begun
 * since one, which is the only one that there is.
 */
static bool
begin_since_only (Reading *reading, const Options *options, GError **error)
{
  g_autoptr (GPtrArray) names
    = checkpoints_of (reading->source, reading->request.disk);

  if (names->len != 1)
    return say_checkpoints (reading, options, names, error);
  close_source (reading);
  reading->only = g_strdup (g_ptr_array_index (names, 0));
  reading->request.checkpoint = reading->only;
  return inspect (reading, options, &silent_reporter, error);
}

bool
reading_start (Reading *reading, const SourceRequest *request, GError **error)
{
  reading->catalogue = catalogue_new (reading->source, request);
  if (!catalogue_start (reading->catalogue, error))
    return false;
  reading->parts = open_parts_new (reading->source, true, 0);
  return true;
}

bool
reading_open (Reading *reading, const Options *options, const char *checkpoint,
              GError **error)
{
  reading->request = options->request;
  reading->request.read = true;
  reading->request.checkpoint = (char *) checkpoint;
  if (!subject_check_disks (options, error)
      || !subject_check_words (options, error))
    return false;
  open_parts_raise_limit ();
  if (!inspect (reading, options, &tool_reporter, error)
      || (reading->source->look_only
          && !begin_since_only (reading, options, error)))
    return false;
  /* Nothing is served here. */
  reading->source->can_serve_whole = false;
  quit_listen ();
  return reading_start (reading, &reading->request, error);
}

void
reading_clear (Reading *reading)
{
  close_source (reading);
  g_clear_pointer (&reading->only, g_free);
}

OpenView *
reading_view (const Reading *reading, const char *target,
              const char *checkpoint, GError **error)
{
  const DiskView *view
    = catalogue_lookup (reading->catalogue, target, checkpoint, error);

  return view ? open_view_new (reading->parts, view, error) : NULL;
}
