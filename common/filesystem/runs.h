/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Runs of dirty bytes: arrays of Run, in ascending order, none of which touches
 * the next.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

typedef struct {
  guint64 start, end;           /* bytes; end is the first that is not of it */
} Run;

GArray *runs_new (void);

/* Append bytes that lie behind all that is there. */
void runs_append (GArray *runs, guint64 start, guint64 end);

guint64 runs_total (const Run *runs, gsize count);

/* The first run that ends after offset; count if there is none. */
gsize runs_find (const Run *runs, gsize count, guint64 offset);

/* Move what lies in [start, end) from one array to the end of another, whose
 * order is not looked at.
 */
void runs_take (GArray *from, guint64 start, guint64 end, GArray *taken);

/* Bring runs that do not overlap into order. */
void runs_sort (GArray *runs);
