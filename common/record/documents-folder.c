/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Documents in a folder, in libvirt's layout.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "record/apart.h"
#include "tree/amend.h"
#include "tree/load.h"
#include "tree/store.h"

typedef struct {
  Documents documents;
  Store *store;
  char *domain;                 /* whose are wanted; NULL: of any one guest */
} Folder;

/* As libvirt names it.  Others of that folder may be named as they like. */
static char *
file_of (const Folder *self, const Checkpoint *checkpoint, bool *known)
{
  const Checkpoint *there
    = forest_lookup (self->documents.forest, checkpoint->name);

  *known = there != NULL;
  return there && there->file ? g_path_get_basename (there->file)
    : g_strconcat (checkpoint->name, ".xml", NULL);
}

static bool
folder_put (Documents *documents, const Checkpoint *checkpoint,
            const char *text, gsize length, GError **error)
{
  Folder *self = (Folder *) documents;
  g_autofree char *made = text ? NULL : checkpoint_format (checkpoint);
  bool known;
  g_autofree char *file = file_of (self, checkpoint, &known);

  if (made) {
    text = made;
    length = strlen (made);
  }
  return store_put (self->store, file, known, text, length, error);
}

static bool
folder_move (Documents *documents, const Checkpoint *checkpoint,
             const char *parent, GError **error)
{
  Folder *self = (Folder *) documents;
  gsize length, amended_length;
  bool known;
  g_autofree char *file = file_of (self, checkpoint, &known);
  g_autofree char *text = tree_load_document (checkpoint, &length, error);
  g_autofree char *amended = text
    ? amend_parent (text, length, parent, &amended_length, error) : NULL;

  return amended && store_put (self->store, file, true, amended,
                               amended_length, error);
}

static bool
folder_remove (Documents *documents, const Checkpoint *checkpoint,
               GError **error)
{
  Folder *self = (Folder *) documents;
  bool known;
  g_autofree char *file = file_of (self, checkpoint, &known);

  return store_remove (self->store, file, error);
}

static bool
folder_can_change (Documents *documents, const Checkpoint *checkpoint,
                   GError **error)
{
  Folder *self = (Folder *) documents;
  bool known;
  g_autofree char *file = file_of (self, checkpoint, &known);

  return store_check (self->store, known ? file : NULL, error);
}

/* Once it is there, it must be read again together with the others. */
static bool
folder_fits (Documents *documents, const Checkpoint *checkpoint,
             GError **error)
{
  Folder *self = (Folder *) documents;
  const GPtrArray *all = forest_all (documents->forest);

  if (!folder_can_change (documents, checkpoint, error))
    return false;
  if (self->domain && !tree_is_of_guest (checkpoint, self->domain))
    return error_set (error, EINVAL, "the document of checkpoint %s is of the "
                      "guest %s (%s), and not of %s", checkpoint->name,
                      checkpoint->domain_name ? checkpoint->domain_name : "?",
                      checkpoint->domain_uuid ? checkpoint->domain_uuid
                      : "no UUID", self->domain);
  for (guint i = 0; checkpoint->domain_uuid && i < all->len; i++) {
    const Checkpoint *other = g_ptr_array_index (all, i);
    if (other->domain_uuid
        && !tree_is_of_guest (checkpoint, other->domain_uuid))
      return error_set (error, EINVAL, "definition for checkpoint %s must use "
                        "uuid %s, as that of checkpoint %s does, and not %s",
                        checkpoint->name, other->domain_uuid, other->name,
                        checkpoint->domain_uuid);
  }
  return true;
}

static void
folder_free (Documents *documents)
{
  Folder *self = (Folder *) documents;

  forest_free (documents->forest);
  store_free (self->store);
  g_free (self->domain);
  g_free (self);
}

static const DocumentOps folder_ops = {
  .put    = folder_put,
  .move   = folder_move,
  .remove = folder_remove,
  .fits   = folder_fits,
  .free   = folder_free,
  .can_change = folder_can_change,
};

static Forest *
load (const char *path, const char *domain, const Reporter *reporter,
      GError **error)
{
  g_autoptr (GPtrArray) skipped = g_ptr_array_new_with_free_func (g_free);
  Forest *forest = tree_load_or_new (path, domain, skipped, error);

  if (!forest)
    return NULL;
  reporter_warn_all (reporter, skipped);
  reporter_warn_all (reporter, forest_problems (forest));
  return forest;
}

Documents *
documents_in_folder (const char *path, const char *domain,
                     const Reporter *reporter, GError **error)
{
  g_autoptr (Store) store
    = store_open (path, store_find_inner (path, domain), error);
  Forest *forest = store
    ? load (path, domain, reporter, error) : NULL;

  if (!forest)
    return NULL;
  Folder *self = g_new0 (Folder, 1);
  self->documents.ops = &folder_ops;
  self->documents.forest = forest;
  self->store = g_steal_pointer (&store);
  self->domain = g_strdup (domain);
  return &self->documents;
}
