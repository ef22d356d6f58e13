/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "record/libvirt-keeper.h"

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
