/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Where, and how much: of places that are found in any order, the first ones.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

/* So many places are kept. */
#define TALLY_PLACES 256

typedef struct {
  guint64 offset, length;
} TallyPlace;

typedef struct {
  guint64 bytes;                /* of all places */
  GArray *places;               /* of TallyPlace: the first ones, ascending, apart
                                 * from each other */
  bool more;                    /* there are others, further on */
} Tally;

void tally_init (Tally *tally);
void tally_clear (Tally *tally);

/* Add one, which was not added before. */
void tally_add (Tally *tally, guint64 offset, guint64 length);
