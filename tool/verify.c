/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * verify: to be written.
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "tool/command.h"
#include "tool/reading.h"

Status
command_verify (const Options *options G_GNUC_UNUSED, GError **error)
{
  error_set (error, ENOTSUP, "verify: to be written");
  return STATUS_FAILED;
}
