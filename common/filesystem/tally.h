/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Whose the dirty bytes of a volume are, counted: each byte once, though a broken
 * file system, or one that shares blocks, may give it to several.
 */
#pragma once

#include "filesystem/line.h"
#include "filesystem/runs.h"

typedef struct Tally Tally;

/* runs are borrowed.  granule: of the record, at phase in the volume; 0: not
 * known.
 */
Tally *tally_new (const Run *runs, gsize count, guint64 granule, guint64 phase);
void tally_free (Tally *tally);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Tally, tally_free)

/* Is any of these bytes dirty? */
bool tally_touches (const Tally *tally, guint64 start, guint64 length);

/* Which number the next owner gets. */
guint tally_next (const Tally *tally);

/* There is one more, whatever is its. */
guint tally_add (Tally *tally);

/* These bytes are that owner's.  The next owner is there once something dirty is
 * its.
 */
void tally_claim (Tally *tally, guint owner, guint64 start, guint64 length);

typedef struct {
  guint64 bytes, shared;
  bool touched;                 /* something of it is dirty */
  bool is_whole;                /* one whole granule, or more, is its own: so
                                 * nothing beside it was written there */
} TallySum;

/* Count; once.  Afterwards, claims are not taken. */
void tally_count (Tally *tally);
TallySum tally_sum (const Tally *tally, guint owner);

/* After tally_count: what nobody has claimed; a new array of Run. */
GArray *tally_rest (const Tally *tally);

/* Claims were more than memory is for: sums are not to be used. */
bool tally_overflowed (const Tally *tally);
