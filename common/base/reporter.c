/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "base/error.h"
#include "base/printable.h"
#include "base/reporter.h"

static void G_GNUC_PRINTF (2, 0)
say (void (*to) (const char *line), const char *format, va_list arguments)
{
  g_autofree char *line = g_strdup_vprintf (format, arguments);

  printable_make (line);
  to (line);
}

void
reporter_warn (const Reporter *reporter, const char *format, ...)
{
  va_list arguments;

  va_start (arguments, format);
  say (reporter->warn, format, arguments);
  va_end (arguments);
}

void
reporter_warn_error (const Reporter *reporter, const GError *error)
{
  g_autofree char *line = error_line (error, reporter->remedies);

  reporter->warn (line);
}

void
reporter_warn_all (const Reporter *reporter, const GPtrArray *lines)
{
  for (guint i = 0; i < lines->len; i++)
    reporter_warn (reporter, "%s", (char *) g_ptr_array_index (lines, i));
}

void
reporter_debug (const Reporter *reporter, const char *format, ...)
{
  va_list arguments;

  if (!reporter->debug)
    return;
  va_start (arguments, format);
  say (reporter->debug, format, arguments);
  va_end (arguments);
}
