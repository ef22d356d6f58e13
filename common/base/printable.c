/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * See printable.h.
 */
#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "base/printable.h"

/* Unicode's line and paragraph separators, and its bidirectional controls. */
static bool
is_treacherous (gunichar c)
{
  return g_unichar_iscntrl (c) || c == 0x61c || c == 0x200e || c == 0x200f
    || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

void
printable_make (char *text)
{
  const char *from = text;
  char *to = text;

  while (*from) {
    const gunichar c = g_utf8_get_char_validated (from, -1);
    const bool is_utf8 = c < (gunichar) -2;
    const guchar byte = (guchar) *from;
    const gsize length = is_utf8 ? (gsize) (g_utf8_next_char (from) - from) : 1;

    if (is_utf8 ? is_treacherous (c) : byte < 0xa0)
      *to++ = g_ascii_isspace (*from) ? ' ' : '?';
    else {
      memmove (to, from, length);
      to += length;
    }
    from += length;
  }
  *to = '\0';
}

char *
printable_format (const char *format, ...)
{
  const int saved_errno = errno;
  va_list arguments;

  va_start (arguments, format);
  char *text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  printable_make (text);
  errno = saved_errno;
  return text;
}
