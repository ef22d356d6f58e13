/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * "Did you mean": error messages that reject a name list the names that do
 * exist, those spelled most like the rejected one first.
 */

#ifndef COMMON_BASE_NEAREST_H
#define COMMON_BASE_NEAREST_H

#include <glib.h>

/* Format names for an error message: "monday, mondays, sunday and 12 more".
 *
 * wanted: what the user asked for.  The names are shown by edit distance to
 *   it; among equals those that differ least when case is ignored come first,
 *   then those that come first in names.  NULL keeps the order of names.
 * names: const char *, borrowed, no NULL inside; NULL itself means empty.
 * most: how many names to show.  With 0 only their number is given.
 *
 * Only the first 64 bytes of a name and the first 100,000 names are compared,
 * so that the cost is bounded whatever a disk image or directory holds (about
 * half a second at the very worst); further names keep their order at the end.
 * Control characters are shown as '?'.
 *
 * Returns a new string, "(none)" if there are no names; free with g_free ().
 * Any thread. */
char *nearest_names (const char *wanted, const GPtrArray *names, guint most);

#endif /* COMMON_BASE_NEAREST_H */
