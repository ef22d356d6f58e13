/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "filesystem/examine.h"

bool
xfs_examine (Examination *self G_GNUC_UNUSED, GError **error)
{
  return error_set (error, ENOSYS, "XFS");
}
