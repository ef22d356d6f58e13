/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "tool/command.h"

Status
command_redefine (const Options *options G_GNUC_UNUSED, GError **error)
{
  error_set (error, ENOTSUP, "not built yet");
  return STATUS_FAILED;
}
