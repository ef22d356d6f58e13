/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * For tests that have QEMU's programs make and judge images.
 */
#pragma once

#include <stdarg.h>
#include <glib.h>

/* Run a command; the test fails if that does. */
static inline void G_GNUC_PRINTF (1, 2)
run (const char *format, ...)
{
  g_autofree char *out = NULL, *err = NULL;
  g_autoptr (GError) error = NULL;
  int status = 0;
  va_list arguments;

  va_start (arguments, format);
  g_autofree char *command = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  if (!g_spawn_command_line_sync (command, &out, &err, &status, &error)
      || status != 0)
    g_error ("%s: %s%s%s", command, error ? error->message : "", out, err);
}
