/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "tool/quit.h"
#include "tool/reading.h"
#include "tool/say.h"
#include "tool/subject.h"
#include "tool/whose.h"
#include "tree/load.h"

/* NULL without an error: no documents are named. */
static Forest *
load_documents (const Options *options, GError **error)
{
  g_autoptr (GPtrArray) skipped = g_ptr_array_new_with_free_func (g_free);
  Forest *tree = options->tree
    ? tree_load (options->tree, options->request.domain, skipped, error) : NULL;

  if (tree) {
    reporter_warn_all (&tool_reporter, skipped);
    reporter_warn_all (&tool_reporter, forest_problems (tree));
  }
  return tree;
}

/* Other sources than those of guests that run always have something to read. */
static bool
refuse_to_look (const Reading *reading, const Options *options, GError **error)
{
  g_autofree char *whose = whose_text (options);

  return error_set (error, EINVAL, "the guest runs, and is read by a backup job, "
                    "which is since one checkpoint: name that (%s); to see their "
                    "names, type qemu-checkpoint list %s", reading->say_which
                    ? reading->say_which : "NAME", whose);
}

bool
reading_open (Reading *reading, const Options *options, const char *checkpoint,
              GError **error)
{
  SourceRequest *request = &reading->request;
  const SourceOps *ops;
  GError *failure = NULL;

  *request = options->request;
  request->read = true;
  request->checkpoint = (char *) checkpoint;
  if (!subject_check_words (options, error)
      || !(ops = source_choose (request, error)))
    return false;
  Forest *tree = load_documents (options, &failure);
  if (failure) {
    g_propagate_error (error, failure);
    return false;
  }
  open_parts_raise_limit ();
  reading->source = ops->inspect (request, tree, &tool_reporter, error);
  if (!reading->source)
    return false;
  if (reading->source->look_only)
    return refuse_to_look (reading, options, error);
  reading->catalogue = catalogue_new (reading->source, request);
  quit_listen ();
  if (!catalogue_start (reading->catalogue, error))
    return false;
  reading->parts = open_parts_new (reading->source, true, 0);
  return true;
}

/* The job ends before its connections are closed. */
void
reading_clear (Reading *reading)
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

OpenView *
reading_view (const Reading *reading, const char *target,
              const char *checkpoint, GError **error)
{
  const DiskView *view
    = catalogue_lookup (reading->catalogue, target, checkpoint, error);

  return view ? open_view_new (reading->parts, view, error) : NULL;
}
