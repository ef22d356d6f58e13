/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "record/apart.h"
#include "record/record.h"
#ifdef HAVE_LIBVIRT
#include "source/guest-tree.h"
#endif

void
record_free (Record *record)
{
  if (record)
    record->ops->free (record);
}

#ifdef HAVE_LIBVIRT
/* The images of a guest that is off may be out of reach, and yet its documents
 * can be changed, as libvirt has it.
 */
static Record *
open_stopped (const SourceRequest *request, Forest *tree,
              const Reporter *reporter, GError **error)
{
  g_autoptr (GError) why = NULL;
  Bitmaps *bitmaps = bitmaps_of_files (request, tree, reporter, &why);
  Documents *documents = documents_at_libvirt (request, tree, reporter,
                                               error);

  if (documents)
    return apart_new (bitmaps, g_steal_pointer (&why), documents, reporter);
  if (bitmaps)
    bitmaps->ops->free (bitmaps);
  return NULL;
}

static Record *
open_at_libvirt (const SourceRequest *request, const Reporter *reporter,
                 GError **error)
{
  const DocumentRequest none = { .checkpoint = NULL };
  g_auto (GuestTree) tree = { 0 };

  if (!guest_tree_load (request, &none, reporter, &tree, error))
    return NULL;
  return tree.running
    ? record_at_libvirt (request, g_steal_pointer (&tree.forest), reporter,
                         error)
    : open_stopped (request, g_steal_pointer (&tree.forest), reporter, error);
}
#else
static Record *
open_at_libvirt (const SourceRequest *request,
                 const Reporter *reporter G_GNUC_UNUSED, GError **error)
{
  return error_null (error, ENOTSUP, "%s cannot be asked: this build has no "
                     "libvirt (configure found none)", request->libvirt);
}
#endif

static Record *
open_documents (Documents *documents, const Reporter *reporter)
{
  GError *why = NULL;

  error_set (&why, EINVAL, "no disks are named, but documents only");
  error_advise (&why, REMEDY_NAME_DISKS, NULL);
  return apart_new (NULL, why, documents, reporter);
}

/* documents: NULL: none. */
static Record *
open_disks (const SourceRequest *request, Documents *documents,
            const Reporter *reporter, GError **error)
{
  const Forest *tree = documents ? documents->forest : NULL;
  Bitmaps *bitmaps = request->qmp
    ? bitmaps_of_qemu (request, tree, reporter, error)
    : bitmaps_of_files (request, tree, reporter, error);

  if (!bitmaps) {
    if (documents)
      documents->ops->free (documents);
    return NULL;
  }
  bitmaps->named_by_hand = !request->qmp;
  return apart_new (bitmaps, NULL, documents, reporter);
}

static bool
check_sources (const SourceRequest *request, const char *tree, GError **error)
{
  const guint sources = (request->files->len > 0) + (request->libvirt != NULL)
    + (request->qmp != NULL);

  if (sources > 1) {
    error_set (error, EINVAL, "two sources are given");
    return error_advise (error, REMEDY_ONE_SOURCE, NULL);
  }
  if (sources > 0 || tree)
    return true;
  error_set (error, EINVAL, "no source is given");
  return error_advise (error, REMEDY_NAME_SOURCE, NULL);
}

Record *
record_open (const SourceRequest *request, const char *tree,
             const Reporter *reporter, GError **error)
{
  Documents *documents = NULL;

  if (!check_sources (request, tree, error))
    return NULL;
  if (request->libvirt)
    return open_at_libvirt (request, reporter, error);
  if (tree) {
    documents = documents_in_folder (tree, request->domain, reporter, error);
    if (!documents)
      return NULL;
  }
  return request->files->len > 0 || request->qmp
    ? open_disks (request, documents, reporter, error)
    : open_documents (documents, reporter);
}
