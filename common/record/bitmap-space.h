/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Is there room to store bitmaps in?
 */
#pragma once

#include "image/disk.h"

/* QEMU stores all bitmaps of an image that it has written to, beside those
 * that are there, and if it cannot, all of them are void.  So how many bytes
 * does it take at most to store those of after, which is what becomes of
 * layer?
 */
guint64 bitmap_space_needed (const Layer *layer, const Layer *after);

/* False with ENOSPC, or EFBIG, unless the file systems have so much free as
 * layers (of Layer) need for after (of Layer, by the same index).  Of block
 * devices nothing is known.
 */
bool bitmap_space_check (const GPtrArray *layers, const GPtrArray *after,
                         GError **error);
