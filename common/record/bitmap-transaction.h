/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Changes of bitmaps as one transaction of QEMU's.
 */
#pragma once

#include "qemu/qmp.h"
#include "record/change.h"

/* The name of a layer's node, a new string. */
typedef char *(*BitmapNodeName) (void *opaque, const Disk *disk, guint layer);

/* Do all of changes (of BitmapChange), in their order, or none.  False with
 * QEMU's words (EINVAL), or EIO: it did not answer, and may have done them.
 * What was removed is gone from the images at once, all else is in QEMU's
 * memory.
 */
bool bitmap_transaction_run (Qmp *qmp, const GPtrArray *changes,
                             BitmapNodeName name, void *opaque,
                             GError **error);
