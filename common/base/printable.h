/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Text of others in what we print.  Names of exports come from any client, those
 * of bitmaps and files from images: none may begin a line of its own in a log,
 * turn the order of letters around, or command the terminal that shows it.
 */
#pragma once

#include <glib.h>

/* Replace, in place, each control character (C0, C1, DEL, also as a byte that is
 * not UTF-8), line separator and mark of direction: by a space what is one in
 * effect, by '?' the rest.  Other bytes that are not UTF-8 stay, for a file may
 * be called so.
 */
void printable_make (char *text);

/* As g_strdup_printf, and printable; errno stays. */
char *printable_format (const char *format, ...) G_GNUC_PRINTF (1, 2);
