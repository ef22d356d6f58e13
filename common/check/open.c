/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Open what is to be checked.  A disk that cannot be looked at is a finding, and
 * does not hide the others.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "image/chain.h"
#include "image/layer.h"
#include "check/internal.h"
#include "source/file-request.h"
#include "tree/load.h"

static void
keep_quiet (const char *line G_GNUC_UNUSED)
{
}

/* What it would say is a finding of ours. */
static const Reporter quiet = { .name = "check", .warn = keep_quiet };

FindingKind
check_kind (const GError *error, FindingKind kind)
{
  static const FindingKind kinds[REASON_COUNT] = {
    [REASON_MISSING]      = FINDING_MISSING,
    [REASON_LOST]         = FINDING_LOST,
    [REASON_INCONSISTENT] = FINDING_INCONSISTENT,
    [REASON_VOID]         = FINDING_VOID,
    [REASON_DISABLED]     = FINDING_DISABLED,
    [REASON_NO_WAY]       = FINDING_DISABLED,
    [REASON_MISNAMED]     = FINDING_MISNAMED,
    [REASON_OTHER_DISK]   = FINDING_OTHER_DISK,
    [REASON_NOT_QCOW2]    = FINDING_NOT_QCOW2,
    [REASON_VERSION_2]    = FINDING_VERSION_2,
    [REASON_CORRUPT]      = FINDING_CORRUPT,
    [REASON_IN_USE]       = FINDING_IN_USE,
    [REASON_NO_FORMAT]    = FINDING_NO_FORMAT,
    [REASON_JOB_SERVED]   = FINDING_JOB_SERVED,
    [REASON_JOB_LEFT]     = FINDING_JOB_LEFT,
    [REASON_JOB_UNKNOWN]  = FINDING_JOB_UNKNOWN,
    [REASON_JOB_OTHER]    = FINDING_JOB_OTHER,
  };
  const Reason reason = error_reason (error);

  return reason == REASON_NONE ? kind : kinds[reason];
}

void
check_unseen (Check *check, const char *target, const GError *error,
              bool is_named)
{
  Finding *finding = finding_new (check_kind (error, FINDING_UNREADABLE));
  const char *file = error_file (error);

  finding_add_disk (finding, target);
  finding->file = g_strdup (file);
  if (finding->kind == FINDING_VERSION_2) {
    finding->why = g_strdup_printf ("%s is qcow2 version 2, which can hold no "
                                    "bitmap", file);
    finding->command = mend_image (IMAGE_CHANGE_VERSION, file);
    finding->is_safe = true;
  }
  else if (finding->kind == FINDING_CORRUPT) {
    finding->why = g_strdup_printf ("%s is marked corrupt, and no bitmap "
                                    "records what a repair changes; make a "
                                    "full backup with a new checkpoint after "
                                    "it", file);
    finding->command = mend_image ("check -r all", file);
  }
  else {
    g_autofree char *line
      = error_line (error, check->asked->reporter->remedies);
    const char *rest = g_str_has_prefix (line, SOURCE_LEFT_OUT ": ")
      ? line + strlen (SOURCE_LEFT_OUT ": ") : line;
    finding->why = g_strdup (rest);
  }
  const bool covered = target && check_covers (check, target);
  if (finding->kind == FINDING_UNREADABLE && !is_named && !covered)
    finding->severity = SEVERITY_NOTE;
  if (finding->kind == FINDING_NOT_QCOW2 && covered)
    finding->severity = SEVERITY_PROBLEM;
  if (target)
    g_hash_table_add (check->unseen, g_strdup (target));
  check_add (check, finding);
}

/* Those of the request's files that can be opened, each with its target, in wanted.
 * Nothing stays locked.  *failure: the first that cannot, and why.
 */
static void
look_at_files (Check *check, const SourceRequest *request, GPtrArray *wanted,
               GError **failure)
{
  for (guint i = 0; i < request->files->len; i++) {
    const RequestedFile *file = g_ptr_array_index (request->files, i);
    g_autoptr (GError) why = NULL;
    g_autofree char *target
      = file_request_target (request, check->loaded, i, &why);
    const ChainRequest chain
      = file_request_chain (request, file, target ? target : "");
    g_autoptr (GPtrArray) layers
      = target ? image_chain_inspect (&chain, &why) : NULL;

    if (!layers) {
      check_unseen (check, target, why, true);
      if (failure && !*failure)
        *failure = g_steal_pointer (&why);
      continue;
    }
    RequestedFile *found = g_memdup2 (file, sizeof *file);
    found->target = g_steal_pointer (&target);
    g_ptr_array_add (wanted, found);
  }
}

/* Only the target is its own. */
static void
wanted_free (gpointer data)
{
  RequestedFile *file = data;

  g_free (file->target);
  g_free (file);
}

static bool
inspect (Check *check, const SourceOps *ops, const SourceRequest *request,
         Forest *tree, GError **error)
{
  check->source
    = ops->inspect (request, tree, request->libvirt ? &quiet
                    : check->asked->reporter, error);
  if (!check->source)
    return false;
  check->source->can_serve_whole = false;
  check->catalogue = catalogue_new (check->source, request);
  check->forest = check->source->offer->forest;
  check->result->disks = check->source->disks->len;
  return true;
}

/* All of them being unreadable is no finding, but a mistake of who asks. */
static bool
open_files (Check *check, GError **error)
{
  const SourceRequest *request = check->asked->request;
  SourceRequest some = *request;
  g_autoptr (GPtrArray) wanted = g_ptr_array_new_with_free_func (wanted_free);
  g_autoptr (GError) failure = NULL;

  look_at_files (check, request, wanted, &failure);
  some.files = wanted;
  if (wanted->len > 0) {
    Forest *tree = g_steal_pointer (&check->loaded);
    return inspect (check, &source_file_ops, &some, tree, error);
  }
  if (error_reason (failure) != REASON_NONE)
    return true;
  g_propagate_error (error, g_steal_pointer (&failure));
  return false;
}

static bool
open_qemu (Check *check, GError **error)
{
  check->runs = true;
  return inspect (check, &source_qmp_ops, check->asked->request,
                  g_steal_pointer (&check->loaded), error);
}

static Forest *
empty_forest (void)
{
  Forest *none = forest_new ();

  forest_link (none);
  return none;
}

/* A folder without a checkpoint is a tree that knows none. */
static bool
load_tree (Check *check, GError **error)
{
  const char *path = check->asked->tree;
  g_autoptr (GPtrArray) skipped = g_ptr_array_new_with_free_func (g_free);
  GError *why = NULL;

  check->loaded
    = tree_load (path, check->asked->request->domain, skipped, &why);
  if (!check->loaded && why->code == ENOENT
      && error_remedy (why, &(const char *const *) { NULL }) == REMEDY_NONE
      && g_file_test (path, G_FILE_TEST_IS_DIR)) {
    g_clear_error (&why);
    check->loaded = empty_forest ();
  }
  if (why) {
    g_propagate_error (error, why);
    return false;
  }
  return check_documents (check, skipped, error);
}

/* Of one that is off, libvirt's word on its checkpoints is kept, if an image
 * cannot be opened.
 */
static bool
open_guest (Check *check, GError **error)
{
  g_autoptr (GError) why = NULL;

#ifdef HAVE_LIBVIRT
  if (inspect (check, &source_libvirt_ops, check->asked->request, NULL, &why))
    return true;
#endif
  if (error_reason (why) == REASON_NONE) {
    g_propagate_error (error, g_steal_pointer (&why));
    return false;
  }
  check_unseen (check, NULL, why, true);
  return true;
}

bool
check_open (Check *check, GError **error)
{
  const SourceRequest *request = check->asked->request;
  const SourceOps *ops = NULL;

  if (check->asked->tree && !request->libvirt && !load_tree (check, error))
    return false;
  check->has_documents = request->libvirt || check->loaded;
  check->forest = check->loaded;
  if (request->files->len > 0 || (!check->loaded && !request->qmp)) {
    ops = source_choose (request, error);
    if (!ops)
      return false;
  }
  if (ops == &source_file_ops && !open_files (check, error))
    return false;
  if (request->qmp && !open_qemu (check, error))
    return false;
  if (request->libvirt && !open_guest (check, error))
    return false;
  if (!check->forest)
    check->forest = check->loaded ? check->loaded
      : (check->loaded = empty_forest ());
  return true;
}

void
check_close (Check *check)
{
  if (check->source && check->source->ops->stop)
    check->source->ops->stop (check->source);
  g_clear_pointer (&check->catalogue, catalogue_free);
  if (check->source)
    check->source->ops->free (check->source);
  g_clear_pointer (&check->loaded, forest_free);
  g_clear_pointer (&check->saved, forest_free);
  g_hash_table_unref (check->unseen);
  g_hash_table_unref (check->needed);
  g_hash_table_unref (check->usable);
  g_hash_table_unref (check->found);
  g_free (check->guest);
}
