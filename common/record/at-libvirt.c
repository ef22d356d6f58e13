/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A running guest of libvirt's, which keeps bitmaps and documents itself: each
 * operation is a call of its own, or for several checkpoints one each.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "image/unlocked.h"
#include "record/apart.h"
#include "record/libvirt-keeper.h"
#include "source/version-2.h"

#define NAMES_SHOWN 12

typedef struct {
  Record record;
  Forest *forest;
  const SourceRequest *request; /* borrowed */
  Keeper *keeper;               /* NULL: nothing was changed yet */
  GuestLook look;               /* from then on */
} AtLibvirt;

static bool
connect (AtLibvirt *self, GError **error)
{
  if (!self->keeper)
    self->keeper = libvirt_keeper (self->request, self->record.reporter,
                                   &self->look, error);
  return self->keeper != NULL;
}

static bool
change (AtLibvirt *self, const GuestChange *what, GError **error)
{
  return connect (self, error)
    && libvirt_keeper_change (self->keeper, &self->look, what, error);
}

/* Disks on which a bitmap can be, as far as can be seen from here. */
static char *
able_disks (const AtLibvirt *self)
{
  const Guest *guest = self->look.guest;
  g_autoptr (GPtrArray) targets = g_ptr_array_new ();

  for (guint i = 0; i < guest->disks->len; i++) {
    const GuestDisk *disk = g_ptr_array_index (guest->disks, i);
    if (g_strcmp0 (disk->format, "qcow2") == 0
        && (self->look.host || !version_2_is (disk)))
      g_ptr_array_add (targets, disk->target);
  }
  return targets->len ? nearest_names (NULL, targets, NAMES_SHOWN) : NULL;
}

/* "disk vda is of version 2: …" of the first such; NULL: none is seen. */
static char *
what_to_amend (const AtLibvirt *self, const Checkpoint *checkpoint)
{
  const Guest *guest = self->look.guest;

  for (guint i = 0; !self->look.host && i < guest->disks->len; i++) {
    const GuestDisk *disk = g_ptr_array_index (guest->disks, i);
    if (version_2_is (disk)
        && (checkpoint->disks->len == 0
            || checkpoint_bitmap (checkpoint, disk->target)))
      return version_2_amend (disk);
  }
  return NULL;
}

/* libvirt and QEMU say which disk cannot have one, or why; not what to do. */
static void
explain_disks (const AtLibvirt *self, const Checkpoint *checkpoint,
               GError **error)
{
  const bool is_old = strstr ((*error)->message, "qcow2 v2");

  if (!is_old && !strstr ((*error)->message, "unsupported for storage type"))
    return;
  g_autofree char *able = able_disks (self);
  g_autofree char *amend = is_old ? what_to_amend (self, checkpoint) : NULL;
  g_autoptr (GError) refusal = g_steal_pointer (error);
  error_set (error, ENOTSUP, "%s%s%s", refusal->message, amend ? "; " : "",
             amend ? amend : "");
  if (able)
    error_advise (error, REMEDY_LEAVE_DISK_OUT, able, NULL);
}

static bool
create (Record *record, const Checkpoint *checkpoint, CreateFlags flags,
        GError **error)
{
  AtLibvirt *self = (AtLibvirt *) record;
  const char *const names[] = { checkpoint->name, NULL };
  const GuestChange forget = {
    .kind = GUEST_DELETE, .names = names, .metadata_only = true,
  };
  g_autofree char *document = checkpoint_format (checkpoint);
  const GuestChange make = {
    .kind = GUEST_CREATE, .document = document, .quiesce = flags.quiesce,
  };

  if (!connect (self, error)
      || !libvirt_keeper_fits (&self->look, checkpoint, error))
    return false;
  if (change (self, &make, error))
    return !flags.no_document || change (self, &forget, error);
  if (error)
    explain_disks (self, checkpoint, error);
  return false;
}

/* Does a record in the disk's images end, by what was there when QEMU opened them? */
static bool
has_ended (const AtLibvirt *self, const char *target)
{
  const GuestChain *chain = guest_chain (self->look.guest, target);
  bool ended = false;

  for (guint i = 0; chain && !self->look.host && i < chain->images->len; i++) {
    const char *path = guest_chain_image (chain, i)->key;
    g_autoptr (GPtrArray) names
      = path && *path == '/' ? image_bitmap_names (path, &ended) : NULL;
  }
  return ended;
}

/* libvirt does not merge what a checkpoint recorded into an older one any more.
 * stays: its nearest ancestor that is not deleted, too; or NULL.
 */
static bool
check_needless (const AtLibvirt *self, const Checkpoint *gone,
                const Checkpoint *stays, GError **error)
{
  for (guint i = 0; i < gone->disks->len; i++) {
    const CheckpointDisk *disk = g_ptr_array_index (gone->disks, i);
    const Checkpoint *older = disk->bitmap ? stays : NULL;
    while (older && !checkpoint_bitmap (older, disk->name))
      older = older->parent;
    if (older && has_ended (self, disk->name))
      return error_set (error, EBUSY, "disk %s: its images have a record that "
                        "ends, as libvirt before 6.5 left them, so the older "
                        "checkpoint %s may need what %s recorded, and libvirt "
                        "would drop that; stop the guest, and delete %s then",
                        disk->name, older->name, gone->name, gone->name);
  }
  return true;
}

/* Those below others first: none is left without its parent, whenever it ends.
 */
static bool
delete (Record *record, const Checkpoint *checkpoint, DeleteScope scope,
        bool document_only, GError **error)
{
  AtLibvirt *self = (AtLibvirt *) record;
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autoptr (GPtrArray) below
    = scope == DELETE_ONE ? g_ptr_array_new ()
    : forest_descendants (self->forest, checkpoint);

  if (!connect (self, error))
    return false;
  if (scope != DELETE_DESCENDANTS)
    g_ptr_array_insert (below, 0, (gpointer) checkpoint);
  for (guint i = below->len; i-- > 0;) {
    const Checkpoint *gone = g_ptr_array_index (below, i);
    if (!document_only
        && !check_needless (self, gone, scope == DELETE_DESCENDANTS
                            ? checkpoint : checkpoint->parent, error))
      return false;
    g_ptr_array_add (names, gone->name);
  }
  g_ptr_array_add (names, NULL);
  const GuestChange what = {
    .kind = GUEST_DELETE, .names = (const char *const *) names->pdata,
    .metadata_only = document_only,
  };
  return names->len == 1 || change (self, &what, error);
}

/* libvirt deletes only what it knows, and only if all that a document covers is
 * there: so it is told of one disk at a time.
 */
static bool
delete_from (AtLibvirt *self, const char *name, const char *target,
             GPtrArray *targets, GError **error)
{
  const char *const names[] = { name, NULL };
  g_autoptr (Checkpoint) known = checkpoint_new (name);
  g_autoptr (GError) why = NULL, also = NULL;

  known->has_creation_time = true;
  known->creation_time = 1;
  checkpoint_add_disk (known, target, name);
  g_autofree char *document = checkpoint_format (known);
  const GuestChange tell = { .kind = GUEST_REDEFINE, .document = document };
  const GuestChange gone = { .kind = GUEST_DELETE, .names = names };
  const GuestChange forget
    = { .kind = GUEST_DELETE, .names = names, .metadata_only = true };
  if (!change (self, &tell, error))
    return false;
  if (change (self, &gone, &why)) {
    g_ptr_array_add (targets, g_strdup (target));
    return true;
  }
  const bool has_none = why->code == ENOENT;
  if (change (self, &forget, &also) && has_none)
    return true;
  g_propagate_error (error, has_none ? g_steal_pointer (&also)
                     : g_steal_pointer (&why));
  return false;
}

/* Where no document tells what came before it, that may be any. */
static bool
check_leftovers (const AtLibvirt *self, const char *name, GError **error)
{
  const Checkpoint *known = forest_lookup (self->forest, name);
  const GPtrArray *disks = self->look.guest->disks;
  g_autoptr (Checkpoint) forgotten = checkpoint_new (name);
  const GPtrArray *all = forest_all (self->forest);

  if (known)
    return check_needless (self, known, known->parent, error);
  for (guint i = 0; i < disks->len; i++)
    checkpoint_add_disk (forgotten, ((const GuestDisk *) g_ptr_array_index (
                           disks, i))->target, name);
  for (guint i = 0; i < all->len; i++)
    if (!check_needless (self, forgotten, g_ptr_array_index (all, i), error))
      return false;
  return true;
}

static bool
delete_leftovers (Record *record, const char *name, GPtrArray *targets,
                  GError **error)
{
  AtLibvirt *self = (AtLibvirt *) record;
  const char *const names[] = { name, NULL };
  const GuestChange forget
    = { .kind = GUEST_DELETE, .names = names, .metadata_only = true };

  const bool is_known = forest_lookup (self->forest, name);

  if (!connect (self, error) || !check_leftovers (self, name, error)
      || (is_known && !change (self, &forget, error)))
    return false;
  const GPtrArray *disks = self->look.guest->disks;
  for (guint i = 0; i < disks->len; i++) {
    const GuestDisk *disk = g_ptr_array_index (disks, i);
    if (g_strcmp0 (disk->format, "qcow2") == 0
        && !delete_from (self, name, disk->target, targets, error))
      return false;
  }
  return is_known || targets->len > 0
    || error_set (error, ENOENT, "guest %s: no disk has a bitmap %s",
                  self->look.guest->name, name);
}

/* Bitmaps are looked at when it is redefined. */
static bool
check (Record *record, const Checkpoint *checkpoint,
       bool validate G_GNUC_UNUSED, GError **error)
{
  AtLibvirt *self = (AtLibvirt *) record;

  return connect (self, error)
    && libvirt_keeper_fits (&self->look, checkpoint, error);
}

static bool
redefine (Record *record, const Checkpoint *checkpoint G_GNUC_UNUSED,
          const char *document, gsize length, bool validate, GError **error)
{
  AtLibvirt *self = (AtLibvirt *) record;
  g_autofree char *text = g_strndup (document, length);
  const GuestChange what = {
    .kind = GUEST_REDEFINE, .document = text, .validate = validate,
  };
  g_autoptr (Checkpoint) copy
    = checkpoint_parse (document, length, CHECKPOINT_PARSE_DEFAULT, error);

  if (!copy || !change (self, &what, error)
      || !forest_redefine (self->forest, copy, error))
    return false;
  g_steal_pointer (&copy);
  return true;
}

static void
at_libvirt_free (Record *record)
{
  AtLibvirt *self = (AtLibvirt *) record;

  libvirt_keeper_free (self->keeper);
  guest_look_clear (&self->look);
  forest_free (self->forest);
  g_free (self);
}

static const RecordOps ops = {
  .create = create, .delete = delete, .delete_leftovers = delete_leftovers,
  .check = check, .redefine = redefine, .free = at_libvirt_free,
};

Record *
record_at_libvirt (const SourceRequest *request, Forest *forest,
                   const Reporter *reporter, GError **error G_GNUC_UNUSED)
{
  AtLibvirt *self = g_new0 (AtLibvirt, 1);

  self->record = (Record) {
    .ops = &ops, .reporter = reporter, .forest = forest, .has_documents = true,
  };
  self->forest = forest;
  self->request = request;
  return &self->record;
}
