/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * How the plugin tells a filter which exports are the parts of a view: each
 * part's description says of how many it is one.  (nbdkit lets a filter list
 * exports only when a client lists.)
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

/* More than any disk has: a layer or a checkpoint each. */
#define PART_COUNT_LIMIT 9999

/* "part 1 of 3: ", which a part's description begins with, before any name
 * could imitate it.  Returns a new string; g_free ().
 */
char *part_label_format (guint part, guint count);

/* Read it back; *rest is what follows.  False: this is no such text. */
bool part_label_parse (const char *text, guint *part, guint *count,
                      const char **rest);

/* "2 parts united, … ", which the description begins with where a filter has
 * united all parts of a view: so many bytes of its map are dirty data, and so many
 * read as zeroes (which a view may show as dirty, or not).  rest: the first
 * part's.  Returns a new string; g_free ().
 */
char *part_union_format (guint count, guint64 data, guint64 zeroes,
                         const char *rest);

/* Read it back, as part_label_parse. */
bool part_union_parse (const char *text, guint *count, guint64 *data,
                       guint64 *zeroes, const char **rest);

/* What a view's label in a description (view-label.h) says of the bytes that are
 * shown as data and as zeroes.  False: it says nothing of what is dirty.
 */
bool part_shown_parse (const char *text, guint64 *data, guint64 *zeroes);

/* "vda@monday/1", of the view's name.  Returns a new string; g_free (). */
char *part_name_format (const char *name, guint part);

/* Does the name end like a part's?  Then *length is that of the view's name. */
bool part_name_parse (const char *name, gsize *length, guint *part);
