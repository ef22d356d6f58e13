/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What estimate has found out, to be printed.
 */
#pragma once

#include "tool/cost.h"

/* A disk since a checkpoint, or all of it. */
typedef struct {
  char *checkpoint;             /* NULL: the disk itself, or since none */
  char *target;
  bool is_known;                /* so much is dirty: */
  Cost cost;
  bool is_dirty_only;           /* of which nothing else is known */
  bool is_refused;              /* its record cannot be used */
  bool has_failed;              /* it could not be read */
  char *why;                    /* something is not known; or NULL */
} Estimated;

typedef struct {
  GPtrArray *rows;              /* of Estimated: those of one checkpoint in a
                                 * row */
  GPtrArray *full;              /* of Estimated: disks that have to be copied
                                 * whole, as a record of theirs is refused */
  guint64 seed;
  char *why_dirty_only;         /* one reason for all rows; or NULL */
} Estimate;

void estimate_print_table (const Estimate *estimate);
void estimate_print_json (const Estimate *estimate);

/* All disks since the checkpoint of rows[first], where there are several: *next is
 * the first row of another.  Not known if one of them is not.
 */
Estimated estimate_sum (const GPtrArray *rows, guint first, guint *next);
