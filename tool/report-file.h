/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A file that a command makes because it was told its name.  Nothing is written
 * over but what the same command has made before: a name that was mistyped may be
 * an image's.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

/* May the file be written?  To be asked before long work.  begin: how what the
 * command makes begins.  EEXIST: there is something else of that name, and
 * nothing is done to it.
 */
bool report_file_check (const char *path, const char *begin, GError **error);

/* Check again, and put text there: all of it or nothing, however we end. */
bool report_file_put (const char *path, const char *begin, const char *text,
                      GError **error);
