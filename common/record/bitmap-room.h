/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Room in an image whose file system is full.
 */
#pragma once

#include "image/disk.h"
#include "qemu/qmp.h"

/* Free what the bitmaps of a writable node occupy in its image, so that they can be
 * stored there again.  QEMU frees it only after it has stored them elsewhere.
 * bitmaps: what the node has.  Nothing is lost: they stay in QEMU's memory.
 */
bool bitmap_room_make (Qmp *qmp, const char *node, const Layer *bitmaps,
                       GError **error);
