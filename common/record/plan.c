/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "record/plan.h"

GPtrArray *
plan_create (const GPtrArray *disks G_GNUC_UNUSED,
             const Checkpoint *checkpoint G_GNUC_UNUSED, GError **error)
{
  error_set (error, ENOTSUP, "not built yet");
  return NULL;
}

GPtrArray *
plan_doomed (const Forest *forest G_GNUC_UNUSED,
             const Checkpoint *checkpoint G_GNUC_UNUSED,
             DeleteScope scope G_GNUC_UNUSED)
{
  return NULL;
}

GPtrArray *
plan_delete (const Forest *forest G_GNUC_UNUSED,
             const GPtrArray *disks G_GNUC_UNUSED,
             const GPtrArray *doomed G_GNUC_UNUSED, GError **error)
{
  error_set (error, ENOTSUP, "not built yet");
  return NULL;
}
