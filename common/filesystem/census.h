/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Whose the dirty bytes of a volume are, counted: each byte once, though a broken
 * file system, or one that shares blocks, may give it to several.
 */
#pragma once

#include "filesystem/line.h"
#include "filesystem/runs.h"

typedef struct Census Census;

/* runs are borrowed.  granule: of the record, at phase in the volume; 0: not
 * known.
 */
Census *census_new (const Run *runs, gsize count, guint64 granule, guint64 phase);
void census_free (Census *census);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Census, census_free)

/* Is any of these bytes dirty? */
bool census_touches (const Census *census, guint64 start, guint64 length);

/* Which number the next owner gets. */
guint census_next (const Census *census);

/* There is one more, whatever is its. */
guint census_add (Census *census);

/* These bytes are that owner's.  The next owner is there once something dirty is
 * its.
 */
void census_claim (Census *census, guint owner, guint64 start, guint64 length);

typedef struct {
  guint64 bytes, shared;
  bool touched;                 /* something of it is dirty */
  bool is_whole;                /* one whole granule, or more, is its own: so
                                 * nothing beside it was written there */
} CensusSum;

/* Count; once.  Afterwards, claims are not taken. */
void census_count (Census *census);
CensusSum census_sum (const Census *census, guint owner);

/* After census_count: what nobody has claimed; a new array of Run. */
GArray *census_rest (const Census *census);

/* Claims were more than memory is for: sums are not to be used. */
bool census_overflowed (const Census *census);
