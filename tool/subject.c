/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "source/current.h"
#include "source/guest-tree.h"
#include "tool/say.h"
#include "tool/subject.h"
#include "tree/load.h"

bool
subject_check_words (const Options *options, GError **error)
{
  const SourceRequest *request = &options->request;

  const char *const named[] = {
    request->qmp ? "--qmp" : NULL,
    request->files->len > 0 ? "--file" : NULL,
    request->uris->len > 0 ? "--uri" : NULL,
    request->libvirt ? "--libvirt" : NULL,
  };
  const char *first = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (named); i++) {
    if (first && named[i])
      return error_set (error, EINVAL, "two sources are given, %s and %s",
                        first, named[i])
        || error_advise (error, REMEDY_ONE_SOURCE, NULL);
    if (!first)
      first = named[i];
  }
  if (request->domain && !request->libvirt && !options->tree)
    return error_set (error, EINVAL, "--domain says which guest is meant of "
                      "--libvirt, or of --tree; add --libvirt=URI, such as "
                      "qemu:///system, or --tree=DIR");
  if (request->libvirt && !request->domain) {
    g_autofree char *list
      = error_virsh (request->libvirt, "list --all", NULL, NULL);
    return error_set (error, EINVAL, "--libvirt=%s: which guest?  Add "
                      "--domain=NAME; to see their names, type %s",
                      request->libvirt, list);
  }
  return true;
}

bool
subject_check_disks (const Options *options, GError **error)
{
  const SourceRequest *request = &options->request;

  if (request->libvirt && options->tree)
    return error_set (error, EINVAL, "--tree goes with --file or --qmp; with "
                      "--libvirt the tree is libvirt's");
  return request->libvirt || request->qmp || request->files->len > 0
    || request->uris->len > 0
    || error_set (error, EINVAL, "%s; add --file=IMG for a stopped guest's disk, "
                  "--libvirt=URI for a guest of libvirt's, --qmp=SOCKET for another "
                  "QEMU that runs, or --uri=NBD-URI for a view that nbdkit serves",
                  options->tree ? "--tree alone has no disks" : "no source is given");
}

/* An empty folder, from which the last checkpoint was deleted. */
static Forest *
empty_tree (const char *path, const GPtrArray *skipped, GError **error)
{
  const char *const *words;

  if (skipped->len > 0 || (*error)->code != ENOENT
      || error_remedy (*error, &words) != REMEDY_NONE
      || !g_file_test (path, G_FILE_TEST_IS_DIR))
    return NULL;
  g_clear_error (error);
  Forest *none = forest_new ();
  forest_link (none);
  return none;
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
    tree = empty_tree (options->tree, skipped, error);
  if (!tree)
    return NULL;
  reporter_warn_all (reporter, skipped);
  reporter_warn_all (reporter, forest_problems (tree));
  return tree;
}

/* tree: taken; NULL: what the source knows. */
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
  if (subject->source->look_only) {
    g_propagate_error (error, g_error_copy (subject->source->look_only));
    return false;
  }
  subject->catalogue = catalogue_new (subject->source, request);
  if (!subject->forest)
    subject->forest = subject->source->offer->forest;
  return catalogue_start (subject->catalogue, error);
}

static void
close_source (Subject *subject)
{
  if (subject->source && subject->source->ops->stop)
    subject->source->ops->stop (subject->source);
  g_clear_pointer (&subject->catalogue, catalogue_free);
  if (subject->source)
    subject->source->ops->free (subject->source);
  subject->source = NULL;
}

/* libvirt's checkpoints are known, whatever is wrong with the images, which is
 * said where their sizes would be.  Those of a guest that runs are QEMU's.
 */
static bool
ask_libvirt (Subject *subject, const Options *options, const char *document,
             const Reporter *reporter, GError **error)
{
  const SourceRequest *request = &options->request;
  const DocumentRequest wanted = {
    .checkpoint = document, .no_domain = options->no_domain,
    .size = options->size, .security_info = options->security_info,
  };
  g_auto (GuestTree) tree = { 0 };
  g_autoptr (GError) why = NULL;

  if (!guest_tree_load (request, &wanted, reporter, &tree, error))
    return false;
  subject->forest = subject->loaded = g_steal_pointer (&tree.forest);
  subject->document = g_steal_pointer (&tree.document);
  subject->has_sizes = tree.running && options->size;
  if (!options->size)
    return true;
  if (tree.running)
    subject->no_sizes = g_strdup ("the guest is running, and its QEMU has to "
                                  "work for that; ask for one with show "
                                  "--size");
  else if (!open_source (subject, request, NULL, &silent_reporter, &why)) {
    close_source (subject);
    subject->no_sizes = error_line (why, tool_remedies);
  }
  return true;
}

static bool
open_whatever (Subject *subject, const Options *options, const char *document,
               const Reporter *reporter, GError **error)
{
  const SourceRequest *request = &options->request;
  GError *failure = NULL;

  if (request->libvirt && options->tree)
    return error_set (error, EINVAL, "--tree goes with --file or --qmp, or "
                      "alone; with --libvirt the tree is libvirt's");
  if (!subject_check_words (options, error))
    return false;
  Forest *tree = load_tree (options, reporter, &failure);
  if (failure) {
    g_propagate_error (error, failure);
    return false;
  }
  subject->has_documents = tree || request->libvirt;
  if (request->libvirt && request->files->len == 0)
    return ask_libvirt (subject, options, document, reporter, error);
  if (!tree || request->files->len > 0 || request->uris->len > 0
      || request->qmp)
    return open_source (subject, request, tree, reporter, error);
  subject->forest = subject->loaded = tree;
  subject->no_sizes = g_strdup ("no disks were named, but documents "
                                "only; add --file=IMG or --qmp=SOCKET");
  return true;
}

bool
subject_open (Subject *subject, const Options *options, const char *document,
              const Reporter *reporter, GError **error)
{
  if (!open_whatever (subject, options, document, reporter, error))
    return false;
  subject->current
    = subject->has_documents && subject->source && !options->request.libvirt
    ? current_on_disks (subject->forest, subject->source->disks)
    : forest_current (subject->forest);
  return true;
}

void
subject_clear (Subject *subject)
{
  close_source (subject);
  g_clear_pointer (&subject->loaded, forest_free);
  g_free (subject->no_sizes);
  g_free (subject->document);
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

Status
subject_open_named (Subject *subject, const Options *options,
                    const char *document, const Checkpoint **checkpoint,
                    GError **error)
{
  if (!subject_open (subject, options, document, &tool_reporter, error))
    return STATUS_FAILED;
  *checkpoint = subject_checkpoint (
    subject, g_ptr_array_index (options->words, 0), error);
  return *checkpoint ? STATUS_FINE : STATUS_FOUND;
}
