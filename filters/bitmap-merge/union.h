/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The union of the parts of one export, read once and shared by all clients
 * that ask for it.
 */
#ifndef BITMAP_MERGE_UNION_H
#define BITMAP_MERGE_UNION_H

#include "map/dirty-map.h"
#include <nbdkit-filter.h>

typedef struct {
  char *name;                   /* of the export that clients ask for */
  GPtrArray *parts;             /* of char *: exports, data comes from the
                                 * first */
  DirtyMap *map;                /* complete, once the union was acquired */
  guint64 size;                 /* bytes, of each part */
} Union;

/* The union for an export, read through the backend unless it is known.
 * parts: their names, or NULL: find them (see part-text.h).  NULL on failure,
 * which is logged (nbdkit has no errno for a filter's open).  Opens one part after another, and
 * closes each: the caller must not have opened its own yet, as nbdkit aborts
 * if one client has two at once.  Any thread; threads that want the same union wait
 * for the one that reads it.  Give it back with union_release.
 */
const Union *union_acquire (nbdkit_backend *backend, const char *name,
                            const GPtrArray *parts);
void union_release (const Union *acquired);

/* Free all, at unload. */
void unions_free (void);

#endif /* BITMAP_MERGE_UNION_H */
