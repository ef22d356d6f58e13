/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The documents of a guest that is off, which libvirt keeps: it takes them,
 * and forgets them, but touches no bitmap then.  If the guest is started
 * meanwhile, it does the same.
 */
#include <config.h>

#include "record/apart.h"
#include "record/libvirt-keeper.h"

typedef struct {
  Documents documents;
  Keeper *keeper;
  GuestLook look;
} AtLibvirt;

static bool
put (Documents *documents, const Checkpoint *checkpoint, const char *text,
     gsize length, GError **error)
{
  const AtLibvirt *self = (AtLibvirt *) documents;
  g_autofree char *document
    = text ? g_strndup (text, length) : checkpoint_format (checkpoint);
  const GuestChange change = {
    .kind = GUEST_REDEFINE, .document = document, .add_domain = !text,
  };

  return libvirt_keeper_change (self->keeper, &self->look, &change, error);
}

static bool
move (Documents *documents, const Checkpoint *checkpoint, const char *parent,
      GError **error)
{
  const AtLibvirt *self = (AtLibvirt *) documents;
  const char *const names[] = { checkpoint->name, parent, NULL };
  const GuestChange change = { .kind = GUEST_MOVE, .names = names };

  return libvirt_keeper_change (self->keeper, &self->look, &change, error);
}

/* libvirt itself gives its children its parent, if that was not done before. */
static bool
forget (Documents *documents, const Checkpoint *checkpoint, GError **error)
{
  const AtLibvirt *self = (AtLibvirt *) documents;
  const char *const names[] = { checkpoint->name, NULL };
  const GuestChange change = {
    .kind = GUEST_DELETE, .names = names, .metadata_only = true,
  };

  return libvirt_keeper_change (self->keeper, &self->look, &change, error);
}

static bool
fits (Documents *documents, const Checkpoint *checkpoint, GError **error)
{
  const AtLibvirt *self = (AtLibvirt *) documents;

  return libvirt_keeper_fits (&self->look, checkpoint, error);
}

static void
at_libvirt_free (Documents *documents)
{
  AtLibvirt *self = (AtLibvirt *) documents;

  libvirt_keeper_free (self->keeper);
  guest_look_clear (&self->look);
  forest_free (documents->forest);
  g_free (self);
}

static const DocumentOps ops = {
  .put = put, .move = move, .remove = forget, .fits = fits,
  .free = at_libvirt_free,
};

/* Connected at once: what libvirt refuses, it refuses before a bitmap is
 * changed.
 */
Documents *
documents_at_libvirt (const SourceRequest *request, Forest *forest,
                      const Reporter *reporter, GError **error)
{
  AtLibvirt *self = g_new0 (AtLibvirt, 1);

  self->documents = (Documents) {
    .ops = &ops, .forest = forest, .has_own_current = true,
  };
  self->keeper = libvirt_keeper (request, reporter, &self->look, error);
  if (self->keeper)
    return &self->documents;
  at_libvirt_free (&self->documents);
  return NULL;
}
