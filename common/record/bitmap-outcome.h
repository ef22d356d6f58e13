/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What changes make of a layer's bitmaps, to be compared with what QEMU made.
 */
#pragma once

#include "record/change.h"

/* The layer with the bitmaps that changes (of BitmapChange; NULL: none)
 * leave in it, as far as that is known: a new layer; layer_free ().
 */
Layer *bitmap_outcome (const GPtrArray *changes, const Disk *disk,
                       guint layer);

/* How found differs from expected: a new string, such as "bitmap monday is
 * inconsistent"; NULL: not at all.
 */
char *bitmap_difference (const Layer *expected, const Layer *found);
