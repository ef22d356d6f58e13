/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "tool/say.h"
#include "tool/subject.h"
#include "tree/load.h"

static bool
check_sources (const Options *options, GError **error)
{
  const SourceRequest *request = &options->request;

  if (request->libvirt && options->tree)
    return error_set (error, EINVAL, "--tree goes with --file, or alone; with "
                      "--libvirt the tree is libvirt's");
  if (request->domain && !request->libvirt && !options->tree)
    return error_set (error, EINVAL, "--domain says which guest is meant of "
                      "--libvirt, or of --tree; add one of them");
  if (request->libvirt && !request->domain) {
    g_autofree char *list
      = error_virsh (request->libvirt, "list --all", NULL, NULL);
    return error_set (error, EINVAL, "--libvirt=%s: which guest?  Add "
                      "--domain=NAME; to see their names, type %s",
                      request->libvirt, list);
  }
  return true;
}

/* NULL without an error: no documents are named. */
static Forest *
load_tree (const Options *options, const Reporter *reporter, GError **error)
{
  g_autoptr (GPtrArray) skipped = g_ptr_array_new_with_free_func (g_free);

  if (!options->tree)
    return NULL;
  Forest *tree = tree_load (options->tree, options->request.domain, skipped,
                            error);
  if (!tree)
    return NULL;
  reporter_warn_all (reporter, skipped);
  reporter_warn_all (reporter, forest_problems (tree));
  return tree;
}

/* tree: taken. */
static bool
open_source (Subject *subject, const SourceRequest *request, Forest *tree,
             const Reporter *reporter, GError **error)
{
  const SourceOps *ops = source_choose (request, error);

  if (!ops) {
    forest_free (tree);
    return false;
  }
  subject->source = ops->inspect (request, tree, reporter, error);
  if (!subject->source)
    return false;
  subject->source->can_serve_whole = false; /* nothing is served here */
  subject->forest = subject->source->offer->forest;
  subject->catalogue = catalogue_new (subject->source, request);
  return catalogue_start (subject->catalogue, error);
}

bool
subject_open (Subject *subject, const Options *options,
              bool with_disks G_GNUC_UNUSED, const Reporter *reporter,
              GError **error)
{
  const SourceRequest *request = &options->request;
  GError *failure = NULL;

  if (!check_sources (options, error))
    return false;
  Forest *tree = load_tree (options, reporter, &failure);
  if (failure) {
    g_propagate_error (error, failure);
    return false;
  }
  subject->has_documents = tree || request->libvirt;
  if (!tree || request->files->len > 0)
    return open_source (subject, request, tree, reporter, error);
  subject->forest = subject->loaded = tree;
  subject->no_sizes = "no disks were named, but documents only";
  return true;
}

void
subject_clear (Subject *subject)
{
  if (subject->source && subject->source->ops->stop)
    subject->source->ops->stop (subject->source);
  g_clear_pointer (&subject->catalogue, catalogue_free);
  if (subject->source)
    subject->source->ops->free (subject->source);
  g_clear_pointer (&subject->loaded, forest_free);
  *subject = (Subject) { 0 };
}

const Checkpoint *
subject_checkpoint (const Subject *subject, const char *name, GError **error)
{
  const Checkpoint *found = forest_lookup (subject->forest, name);

  if (!found)
    parts_unknown_checkpoint (subject->forest, name, error);
  return found;
}

const Checkpoint *
subject_named (const Subject *subject, const Options *options, GError **error)
{
  return subject_checkpoint (subject, g_ptr_array_index (options->words, 0),
                             error);
}
