/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "record/apart.h"

Bitmaps *
bitmaps_of_qemu (const SourceRequest *request G_GNUC_UNUSED,
                 const Forest *tree G_GNUC_UNUSED,
                 const Reporter *reporter G_GNUC_UNUSED, GError **error)
{
  error_set (error, ENOTSUP, "not built yet");
  return NULL;
}
