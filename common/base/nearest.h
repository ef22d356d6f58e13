/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Lists the names that exist in messages that reject one, those spelled most
 * like it first.
 */

#pragma once

#include <glib.h>

/* Format names for an error message: "monday, mondays, sunday and 12 more".
 *
 * wanted: what the user asked for.  Names are ordered by edit distance to it,
 *   then by distance without case, then as in names.  NULL: as in names.
 * names: const char *, borrowed, no NULL inside; NULL itself means empty.
 * most: how many names to show.  With 0 only their number is given.
 *
 * To bound the cost (half a second at worst), only the first 64 bytes of the
 * first 100,000 names are compared; further names follow in their order.
 * Control characters are shown as '?'.
 *
 * Returns a new string, "(none)" without names; g_free ().  Any thread. */
char *nearest_names (const char *wanted, const GPtrArray *names, guint most);
