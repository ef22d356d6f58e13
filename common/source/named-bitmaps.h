/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Bitmaps that are named, not found by a tree of checkpoints.
 */
#pragma once

#include "source/request.h"
#include "tree/forest.h"

/* What the only view is called if the request names bitmaps: its checkpoint's
 * name, or else the first bitmap's.  NULL: it names neither.  Borrowed.
 */
const char *named_view (const SourceRequest *request);

/* A new tree of one checkpoint of that name, which is as old as the known one
 * (or NULL), and covers all the disks (of Disk) by a bitmap of that name.
 */
Forest *named_tree (const char *name, const char *bitmap,
                    const GPtrArray *disks, const Checkpoint *known);

/* The same for the bitmaps that the request names, each of which the disks need
 * from then on, and as it stood (see Disk).  tree: borrowed; NULL: none was
 * given.  NULL with ENOENT if that does not know the request's checkpoint.
 */
Forest *named_bitmaps_tree (const SourceRequest *request, const Forest *tree,
                            const GPtrArray *disks, GError **error);
