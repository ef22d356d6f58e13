/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tool/terminal.h"

bool
terminal_is_there (void)
{
  return isatty (STDOUT_FILENO) == 1;
}

guint
terminal_columns (void)
{
  struct winsize size;
  const char *told = g_getenv ("COLUMNS");
  guint64 columns;

  if (told
      && g_ascii_string_to_unsigned (told, 10, 1, G_MAXINT, &columns, NULL))
    return (guint) columns;
  return ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) < 0 ? 0 : size.ws_col;
}

bool
terminal_has_colours (void)
{
  const char *no = g_getenv ("NO_COLOR"), *terminal = g_getenv ("TERM");

  return terminal_is_there () && !(no && *no) && terminal
    && strcmp (terminal, "dumb") != 0;
}
