/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "record/record.h"

Record *
record_open (const SourceRequest *request G_GNUC_UNUSED,
             const char *tree G_GNUC_UNUSED,
             const Reporter *reporter G_GNUC_UNUSED, GError **error)
{
  error_set (error, ENOTSUP, "not built yet");
  return NULL;
}

bool
record_complete (const Record *record G_GNUC_UNUSED,
                 Checkpoint *checkpoint G_GNUC_UNUSED, GError **error)
{
  return error_set (error, ENOTSUP, "not built yet");
}

void
record_free (Record *record)
{
  if (record)
    record->ops->free (record);
}
