/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What the standard output is shown on.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

bool terminal_is_there (void);

/* How many letters a line has: what COLUMNS says, or the terminal; 0: that is not
 * known.
 */
guint terminal_columns (void);

/* Is it a terminal that has colours, and does nobody object (NO_COLOR)? */
bool terminal_has_colours (void);
