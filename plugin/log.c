/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "base/error.h"
#include "nbdkit/say.h"
#include "plugin/log.h"
#include "plugin/remedies.h"

/* nbdkit has errors and debug messages, and this must be seen, so its word
 * before the message is "error": it says itself what it means for the backup.
 */
static void
warn (const char *line)
{
  say_error ("%s", line);
}

static void
debug (const char *line)
{
  say_debug ("%s", line);
}

const Reporter nbdkit_reporter = {
  .name     = "nbdkit",
  .warn     = warn,
  .debug    = debug,
  .remedies = nbdkit_remedies,
};

int
log_failure (const GError *error)
{
  reporter_warn_error (&nbdkit_reporter, error);
  nbdkit_set_error (error->code);
  return -1;
}
