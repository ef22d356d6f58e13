/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * How the plugin tells a filter which exports are the parts of a view.  A
 * filter cannot list a plugin's exports when a client connects (nbdkit hands
 * it the call only when a client lists), but it can open one and read its
 * description, so each part's says of how many it is one.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

/* More than any disk has: a layer or a checkpoint each. */
#define PART_COUNT_LIMIT 9999

/* "part 1 of 3: ", which a part's description begins with (so that no name
 * in it can be taken for it).  The caller's.
 */
char *part_label_format (guint part, guint count);

/* Read it back; *rest is what follows.  False: this is no such text. */
bool part_label_parse (const char *text, guint *part, guint *count,
                      const char **rest);

/* The name of part number `part` of the view `name`: "vda@monday/1".  The
 * caller's.
 */
char *part_name_format (const char *name, guint part);

/* Does the name end like that, as only parts' names do?  Then *length is that
 * of the view's own name.
 */
bool part_name_parse (const char *name, gsize *length, guint *part);
