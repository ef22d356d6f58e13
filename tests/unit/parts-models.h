/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Models of disks and trees, written as text, for the tests of common/parts/parts.c.
 *
 * Layers are given top first, and each is a list of bitmaps: "a" records, "a-"
 * is disabled, "a!" is inconsistent.  Layer 0 is the file /l0 and so on.  Parts
 * are written "0:a 1:-": bitmap a of layer 0 and what is allocated in layer 1
 * or above.  What is returned is the caller's.
 */
#pragma once

#include "base/error.h"
#include "parts/parts.h"
#include "plugin/remedies.h"

#define MOST_LAYERS 5

#define DISK(...) disk_of ("vda", (const char *[]) { __VA_ARGS__, NULL })
Disk *disk_of (const char *target, const char *const *layers);
void add_bitmap (Layer *layer, const char *text);

/* "a b<a c<b/vdb": a is a root, b its child, and c, child of b, covers vdb.
 * The others cover vda.  A bitmap is named like its checkpoint.
 */
Forest *tree (const char *text);
Checkpoint *add_checkpoint (Forest *forest, const char *name,
                            const char *parent);

char *parts_text (const GPtrArray *parts);
void assert_plan (const Forest *forest, const Disk *disk,
                  const char *checkpoint, const char *expected);

/* A plan's own rules: top first, each part once, and a bitmap that is that
 * layer's and can be trusted.
 */
void assert_plan_sane (const Disk *disk, const GPtrArray *parts);

/* The message has these pieces in this order. */
void assert_refused (const Forest *forest, const Disk *disk,
                     const char *checkpoint, int errnum, ...)
  G_GNUC_NULL_TERMINATED;

/* Do the first thing that nbdkit says of it: "… --remove PATH BITMAP". */
bool obey (Disk *disk, const GError *error);
