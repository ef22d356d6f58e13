/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "record/apart.h"

Documents *
documents_at_libvirt (const SourceRequest *request G_GNUC_UNUSED,
                      Forest *forest, GError **error)
{
  forest_free (forest);
  error_set (error, ENOTSUP, "not built yet");
  return NULL;
}
