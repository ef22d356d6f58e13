/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Reading parts through the layer below.
 */
#ifndef BITMAP_MERGE_UNION_READ_H
#define BITMAP_MERGE_UNION_READ_H

#include "bitmap-merge/union.h"

/* The names of the parts of a view, told by the description of the first; the
 * caller's.  NULL on failure, which is logged.
 */
GPtrArray *union_find_parts (nbdkit_backend *backend, const char *name);

/* Read the parts of `into`, and fill in its map and size.  False on failure,
 * which is logged; nothing is filled in then.
 */
bool union_read (nbdkit_backend *backend, Union *into);

#endif /* BITMAP_MERGE_UNION_READ_H */
