/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Has a person change a text.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

/* Open $VISUAL, $EDITOR or vi on the text, in a file that only we may read and
 * that is called name; wait until it has ended, however long that takes, and read
 * what is there then: a new string, of *edited_length bytes and a NUL; g_free ().
 * The file is removed, also if a signal ends us meanwhile.  NULL with ECANCELED if
 * the editor fails.
 */
char *editor_run (const char *name, const char *text, gsize length,
                  gsize *edited_length, GError **error);

/* On a terminal, ask if it is to be tried again; else false. */
bool editor_ask_again (const char *why);
