/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The union of the parts of one export, read once and shared by all clients
 * that ask for it.
 */
#pragma once

#include <stdbool.h>
#include <nbdkit-filter.h>

#include "map/dirty-map.h"

typedef struct {
  char *name;                   /* of the export that clients ask for */
  GPtrArray *parts;             /* of char *: exports, data comes from the
                                 * first */
  DirtyMap *map;                /* complete, once the union was acquired */
  guint64 size;                 /* bytes, of each part */
} Union;

/* The union for an export, read through the backend unless it is known.  parts:
 * their names (shared); NULL: find them (see part-name.h).  NULL on failure,
 * which is logged (nbdkit has no errno for a filter's open).  Opens parts: the
 * caller must have none open, as nbdkit aborts if one client has two.  Any
 * thread; one reads at a time.  Give it back with union_release.
 */
const Union *union_acquire (nbdkit_backend *backend, const char *name,
                            GPtrArray *parts);
void union_release (const Union *acquired);

/* Free all, at unload. */
void unions_free (void);

/* For union.c, in union-read.c: the names of the parts of a view, told by the
 * description of the first.  Returns a new array; NULL on failure, which is
 * logged.
 */
GPtrArray *union_find_parts (nbdkit_backend *backend, const char *name);
/* Read the parts of `into`, and fill in its map and size.  False on failure,
 * which is logged; nothing is filled in then.
 */
bool union_read (nbdkit_backend *backend, Union *into);
