/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The order of things: what is made is there as bitmaps before its document says
 * so, and what is deleted goes as bitmaps first, as in libvirt.  Killed between
 * the two, there are bitmaps that no document tells of, or a document whose
 * bitmaps are gone.
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "record/apart.h"
#include "record/plan.h"
#include "record/redefine.h"

typedef struct {
  Record record;
  Bitmaps *bitmaps;             /* NULL: no_bitmaps tells why */
  GError *no_bitmaps;
  Documents *documents;         /* NULL: there are none */
  Forest *flat;                 /* without documents, what bitmaps tell */
} Apart;

static bool
need_bitmaps (const Apart *self, GError **error)
{
  if (self->bitmaps)
    return true;
  g_propagate_error (error, g_error_copy (self->no_bitmaps));
  return false;
}

static bool
need_documents (const Apart *self, GError **error)
{
  if (self->documents)
    return true;
  error_set (error, EINVAL, "there are bitmaps, and no documents are kept of "
             "them");
  return error_advise (error, REMEDY_NAME_TREE, NULL);
}

/* still_frozen: why the guest hangs, which is never left unsaid, and yet no reason
 * to leave the checkpoint half made.
 */
static bool
apply_frozen (Bitmaps *bitmaps, const GPtrArray *changes,
              GError **still_frozen, GError **error)
{
  if (!bitmaps->ops->freeze)
    return error_set (error, ENOTSUP, "there are no file systems to freeze, as "
                      "no guest runs; a checkpoint made now is as good "
                      "without that");
  if (!bitmaps->ops->freeze (bitmaps, error))
    return false;
  const bool done = bitmaps->ops->apply (bitmaps, changes, error);
  if (!bitmaps->ops->thaw (bitmaps, still_frozen) && !done)
    g_prefix_error (error, "%s.  And no checkpoint was made: ",
                    (*still_frozen)->message);
  return done;
}

static bool
apply (Bitmaps *bitmaps, const GPtrArray *changes, bool frozen,
       GError **still_frozen, GError **error)
{
  return frozen ? apply_frozen (bitmaps, changes, still_frozen, error)
    : bitmaps->ops->apply (bitmaps, changes, error);
}

/* Its document could not be kept: remove what was made. */
static void
take_back (Bitmaps *bitmaps, const GPtrArray *made, GError **error)
{
  g_autoptr (GPtrArray) changes = bitmap_changes_new ();
  g_autoptr (GError) why = NULL;

  for (guint i = 0; i < made->len; i++) {
    const BitmapChange *change = g_ptr_array_index (made, i);
    bitmap_changes_add (changes, BITMAP_REMOVE, change->disk, change->layer,
                        change->name);
  }
  if (!bitmaps->ops->apply (bitmaps, changes, &why))
    g_prefix_error (error, "the bitmaps are made, and could not be removed "
                    "again (%s), as there can be no document: ",
                    why->message);
}

static bool
apart_create (Record *record, const Checkpoint *checkpoint, CreateFlags flags,
              GError **error)
{
  Apart *self = (Apart *) record;
  Documents *documents = flags.no_document ? NULL : self->documents;
  g_autoptr (GError) still_frozen = NULL;

  if (!need_bitmaps (self, error)
      || (documents && documents->ops->fits
          && !documents->ops->fits (documents, checkpoint, error)))
    return false;
  g_autoptr (GPtrArray) changes
    = plan_create (self->bitmaps->disks, checkpoint, error);
  if (!changes)
    return false;
  if (changes->len == 0 && !documents)
    return error_set (error, EINVAL, "checkpoint %s covers no disk",
                      checkpoint->name);
  if (changes->len > 0
      && !apply (self->bitmaps, changes, flags.quiesce, &still_frozen, error))
    return false;
  if (!documents
      || documents->ops->put (documents, checkpoint, NULL, 0, error))
    return !still_frozen
      || error_set (error, still_frozen->code, "%s.  Checkpoint %s is made",
                    still_frozen->message, checkpoint->name);
  if (still_frozen)
    g_prefix_error (error, "%s.  And: ", still_frozen->message);
  take_back (self->bitmaps, changes, error);
  return false;
}

/* A disk that the checkpoint does not cover, and has its bitmap all the same: that
 * may be the one which is missing, by another name; NULL: none.
 */
static const Disk *
find_renamed (const Apart *self, const Checkpoint *gone, const char *bitmap)
{
  for (guint i = 0; i < self->bitmaps->disks->len; i++) {
    const Disk *disk = g_ptr_array_index (self->bitmaps->disks, i);
    for (guint j = 0; j < disk->layers->len; j++)
      if (!checkpoint_bitmap (gone, disk->target)
          && layer_bitmap (disk_layer (disk, j), bitmap))
        return disk;
  }
  return NULL;
}

/* Its bitmap on a disk that was not named would stay, and nothing would tell of
 * it.  Of a guest whose disks are all known, one that is missing was unplugged.
 */
static bool
check_named (const Apart *self, const GPtrArray *doomed, GError **error)
{
  for (guint i = 0; i < doomed->len; i++) {
    const Checkpoint *gone = g_ptr_array_index (doomed, i);
    for (guint j = 0; j < gone->disks->len; j++) {
      const CheckpointDisk *disk = g_ptr_array_index (gone->disks, j);
      if (!disk->bitmap || disk_find (self->bitmaps->disks, disk->name))
        continue;
      const Disk *renamed = find_renamed (self, gone, disk->bitmap);
      if (!self->bitmaps->named_by_hand && !renamed)
        continue;
      if (!self->bitmaps->named_by_hand)
        return error_set (error, EINVAL, "checkpoint %s covers disk %s, which is "
                          "not there, and disk %s has its bitmap %s: if they "
                          "are one, which has two names, delete its bitmaps "
                          "without the documents first, and then what documents "
                          "say alone", gone->name, disk->name, renamed->target,
                          disk->bitmap)
          || error_advise (error, REMEDY_DOCUMENT_ONLY, gone->name, NULL);
      error_set (error, EINVAL, "checkpoint %s has a bitmap on disk %s, too, "
                 "which is not named", gone->name, disk->name);
      return error_advise (error, REMEDY_NAME_ALL_DISKS, disk->name, NULL);
    }
  }
  return true;
}

static bool
delete_bitmaps (const Apart *self, const GPtrArray *doomed, GError **error)
{
  if (!need_bitmaps (self, error) || !check_named (self, doomed, error))
    return false;
  g_autoptr (GPtrArray) changes = plan_delete (
    self->record.forest, self->bitmaps->disks, doomed, error);
  return changes
    && (changes->len == 0
        || self->bitmaps->ops->apply (self->bitmaps, changes, error));
}

static const Checkpoint *
staying_ancestor (GHashTable *set, const Checkpoint *checkpoint)
{
  const Checkpoint *at = checkpoint->parent;

  while (at && g_hash_table_contains (set, at))
    at = at->parent;
  return at;
}

/* Children get the nearest ancestor that stays. */
static bool
move_children (Documents *documents, const Checkpoint *gone, GHashTable *set,
               GError **error)
{
  for (const Checkpoint *child = gone->first_child; child;
       child = child->next_sibling) {
    if (g_hash_table_contains (set, child))
      continue;
    const Checkpoint *parent = staying_ancestor (set, gone);
    if (!documents->ops->move (documents, child, parent ? parent->name : NULL,
                               error))
      return false;
  }
  return true;
}

/* Children first, so that no document ever names a parent that is gone; for the
 * same reason leaves go first.
 */
static bool
delete_documents (Documents *documents, const GPtrArray *doomed,
                  GError **error)
{
  g_autoptr (GHashTable) set = g_hash_table_new (NULL, NULL);

  for (guint i = 0; i < doomed->len; i++)
    g_hash_table_add (set, g_ptr_array_index (doomed, i));
  for (guint i = 0; i < doomed->len; i++)
    if (!move_children (documents, g_ptr_array_index (doomed, i), set, error))
      return false;
  for (guint i = doomed->len; i > 0; i--)
    if (!documents->ops->remove (documents, g_ptr_array_index (doomed, i - 1),
                                 error))
      return false;
  return true;
}

/* Could all of that be done?  Asked before a bitmap goes. */
static bool
check_documents (Documents *documents, const GPtrArray *doomed,
                 GError **error)
{
  for (guint i = 0; documents->ops->can_change && i < doomed->len; i++) {
    const Checkpoint *gone = g_ptr_array_index (doomed, i);
    if (!documents->ops->can_change (documents, gone, error))
      return false;
    for (const Checkpoint *child = gone->first_child; child;
         child = child->next_sibling)
      if (!documents->ops->can_change (documents, child, error))
        return false;
  }
  return true;
}

static bool
apart_delete (Record *record, const Checkpoint *checkpoint, DeleteScope scope,
              bool document_only, GError **error)
{
  Apart *self = (Apart *) record;
  g_autoptr (GPtrArray) doomed
    = plan_doomed (record->forest, checkpoint, scope);

  if ((document_only && !need_documents (self, error))
      || (self->documents
          && !check_documents (self->documents, doomed, error)))
    return false;
  if (document_only && self->bitmaps
      && !plan_forget (record->forest, self->bitmaps->disks, doomed, error))
    return false;
  if (!document_only && !delete_bitmaps (self, doomed, error))
    return false;
  if (!self->documents || delete_documents (self->documents, doomed, error))
    return true;
  if (document_only)
    return false;
  g_prefix_error (error, "the bitmaps are deleted, but not all of the "
                  "documents: ");
  return error_advise (error, REMEDY_DOCUMENT_ONLY, checkpoint->name, NULL);
}

static bool
apart_check (Record *record, const Checkpoint *checkpoint, bool validate,
             GError **error)
{
  Apart *self = (Apart *) record;

  if (!need_documents (self, error)
      || (self->documents->ops->fits
          && !self->documents->ops->fits (self->documents, checkpoint, error)))
    return false;
  return !validate
    || (need_bitmaps (self, error)
        && redefine_validate (checkpoint, self->bitmaps->disks, error));
}

/* It may be gone, as libvirt takes it, or only not named. */
static void
warn_unseen (const Apart *self, const Checkpoint *checkpoint)
{
  for (guint i = 0; i < checkpoint->disks->len; i++) {
    const CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, i);
    if (disk->bitmap && !disk_find (self->bitmaps->disks, disk->name))
      reporter_warn (self->record.reporter, "checkpoint %s covers disk %s, too, "
                     "which is not named, and so was not looked at",
                     checkpoint->name, disk->name);
  }
}

static bool
apart_redefine (Record *record, const Checkpoint *checkpoint,
                const char *document, gsize length, bool validate,
                GError **error)
{
  Apart *self = (Apart *) record;

  if (!apart_check (record, checkpoint, validate, error)
      || !redefine_check (record->forest, checkpoint, error))
    return false;
  g_autoptr (Checkpoint) copy
    = checkpoint_parse (document, length, CHECKPOINT_PARSE_DEFAULT, error);
  if (!copy
      || !self->documents->ops->put (self->documents, checkpoint, document,
                                     length, error))
    return false;
  if (validate && self->bitmaps->named_by_hand)
    warn_unseen (self, checkpoint);
  const Checkpoint *before = forest_lookup (record->forest, copy->name);
  copy->file = g_strdup (before ? before->file : NULL);
  return forest_redefine (self->documents->forest, g_steal_pointer (&copy),
                          error);
}

static void
apart_free (Record *record)
{
  Apart *self = (Apart *) record;

  if (self->bitmaps)
    self->bitmaps->ops->free (self->bitmaps);
  if (self->documents)
    self->documents->ops->free (self->documents);
  g_clear_error (&self->no_bitmaps);
  forest_free (self->flat);
  g_free (self);
}

static const RecordOps apart_ops = {
  .create   = apart_create,
  .delete   = apart_delete,
  .check    = apart_check,
  .redefine = apart_redefine,
  .free     = apart_free,
};

Record *
apart_new (Bitmaps *bitmaps, GError *no_bitmaps, Documents *documents,
           const Reporter *reporter)
{
  Apart *self = g_new0 (Apart, 1);

  self->record.ops = &apart_ops;
  self->record.reporter = reporter;
  self->bitmaps = bitmaps;
  self->no_bitmaps = no_bitmaps;
  self->documents = documents;
  if (!documents)
    self->flat = parts_flat_tree (bitmaps->disks);
  self->record.forest = documents ? documents->forest : self->flat;
  self->record.has_documents = documents != NULL;
  self->record.has_own_current = documents && documents->has_own_current;
  self->record.disks = bitmaps ? bitmaps->disks : NULL;
  self->record.left_out = bitmaps ? bitmaps->left_out : NULL;
  return &self->record;
}
