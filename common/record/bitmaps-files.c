/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The bitmaps in a stopped guest's images, which are looked at by the sources that
 * nbdkit serves them from, too.
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "record/apart.h"
#include "record/image-changes.h"
#include "source/file-request.h"
#include "source/source.h"

typedef struct {
  Bitmaps bitmaps;
  GPtrArray *left_out;          /* of LeftOut */
  Roster *roster;               /* which the disks borrow */
  const Reporter *reporter;
} FileBitmaps;

static bool
files_apply (Bitmaps *bitmaps, const GPtrArray *changes, GError **error)
{
  return image_changes_apply (bitmaps->disks, changes,
                              ((FileBitmaps *) bitmaps)->reporter, error);
}

static void
files_free (Bitmaps *bitmaps)
{
  FileBitmaps *self = (FileBitmaps *) bitmaps;

  g_ptr_array_unref (bitmaps->disks);
  g_ptr_array_unref (self->left_out);
  g_clear_pointer (&self->roster, roster_free);
  g_free (self);
}

static const BitmapOps files_ops = {
  .apply = files_apply,
  .free  = files_free,
};

/* The disks stay open, and locked, the private daemon ends. */
static Bitmaps *
take_disks (Source *source)
{
  FileBitmaps *self = g_new0 (FileBitmaps, 1);

  self->bitmaps.ops = &files_ops;
  self->bitmaps.disks = g_steal_pointer (&source->disks);
  self->left_out = g_steal_pointer (&source->left_out);
  self->bitmaps.left_out = self->left_out;
  self->roster = g_steal_pointer (&source->roster);
  self->reporter = source->reporter;
  return &self->bitmaps;
}

static bool
check_at_rest (const SourceOps *ops, const SourceRequest *request,
               const Reporter *reporter, GError **error)
{
  bool at_rest = false;

  if (ops->look && !ops->look (request, reporter, &at_rest, error))
    return false;
  return at_rest
    || error_set (error, EBUSY, "the guest runs, or is elsewhere, so its images "
                  "cannot be written to from here; if it was started just now, "
                  "type the same again; if it is on another machine, type it "
                  "there");
}

/* With the targets that the tree knows. */
static GPtrArray *
name_files (const SourceRequest *request, const Forest *tree, GError **error)
{
  g_autoptr (GPtrArray) files
    = g_ptr_array_new_with_free_func ((GDestroyNotify) requested_file_free);

  for (guint i = 0; i < request->files->len; i++) {
    const RequestedFile *file = g_ptr_array_index (request->files, i);
    char *target = file_request_target (request, tree, i, error);
    if (!target)
      return NULL;
    RequestedFile *named = g_new0 (RequestedFile, 1);
    named->target = target;
    named->path = g_strdup (file->path);
    named->format = g_strdup (file->format);
    g_ptr_array_add (files, named);
  }
  return g_steal_pointer (&files);
}

Bitmaps *
bitmaps_of_files (const SourceRequest *request, const Forest *tree,
                  const Reporter *reporter, GError **error)
{
  SourceRequest named = *request;
  const SourceOps *ops = source_choose (request, error);
  g_autoptr (GPtrArray) files = NULL;

  if (!ops || !check_at_rest (ops, request, reporter, error))
    return NULL;
  named.files = files = name_files (request, tree, error);
  if (!files)
    return NULL;
  Source *source = ops->inspect (&named, NULL, reporter, error);
  if (!source)
    return NULL;
  Bitmaps *bitmaps = take_disks (source);
  source->ops->free (source);
  return bitmaps;
}
