/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/error.h"
#include "record/libvirt-keeper.h"

/* libvirt writes NAME.xml.new first (virFileRewrite). */
#define NAME_MAX_BYTES (NAME_MAX - sizeof ".xml.new" + 1)

Keeper *
libvirt_keeper (const SourceRequest *request, const Reporter *reporter,
                GuestLook *look, GError **error)
{
  const GuestQuestion question = {
    .uri = request->libvirt, .domain = request->domain, .writable = true,
    .no_checkpoints = true,
  };
  Keeper *keeper = keeper_start (&libvirt_job_ops, reporter, error);

  if (!keeper || guest_look_at (keeper, &question, look, error))
    return keeper;
  libvirt_keeper_free (keeper);
  return NULL;
}

void
libvirt_keeper_free (Keeper *keeper)
{
  if (!keeper)
    return;
  g_autofree char *trouble = keeper_end (keeper); /* told with what failed */
  keeper_free (keeper);
}

bool
libvirt_keeper_change (Keeper *keeper, const GuestLook *look,
                       const GuestChange *change, GError **error)
{
  g_autoptr (GError) why = NULL;

  if (guest_change (keeper, change, &why))
    return true;
  g_autofree char *command = error_virsh (look->connection, "checkpoint-list",
                                          look->guest->name, NULL);
  if (why->code == ETIMEDOUT)
    return error_set (error, ETIMEDOUT, "%s; it may do it yet; to see, type "
                      "%s", why->message, command);
  g_propagate_error (error, g_steal_pointer (&why));
  return false;
}

bool
libvirt_keeper_fits (const GuestLook *look, const Checkpoint *checkpoint,
                     GError **error)
{
  const Guest *guest = look->guest;

  if (strlen (checkpoint->name) > NAME_MAX_BYTES)
    return error_set (error, ENAMETOOLONG, "checkpoint %.20s…: its name has "
                      "%zu bytes, and libvirt can keep a document under one of "
                      "%zu at most", checkpoint->name, strlen (checkpoint->name),
                      NAME_MAX_BYTES);
  return !checkpoint->domain_uuid || !guest->uuid
    || strcmp (checkpoint->domain_uuid, guest->uuid) == 0
    || error_set (error, EINVAL, "definition for checkpoint %s must use uuid "
                  "%s, that of the guest %s, and not %s", checkpoint->name,
                  guest->uuid, guest->name, checkpoint->domain_uuid);
}
