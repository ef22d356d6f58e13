/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Change bitmaps in the images of stopped guests, all together.
 */
#pragma once

#include "base/reporter.h"
#include "record/change.h"

/* Do all of changes (of BitmapChange) in layers of disks (all that we have
 * looked at and locked, by source_file_ops), or none.  The disks' bitmaps
 * are those of afterwards then, also after a failure, and others may have
 * become of the files:
 *
 * EAGAIN: something is not as it was looked at; EBUSY: others use a file;
 * ENOTSUP: it cannot hold bitmaps, or not be locked; ENOSPC: it is full;
 * EIO: what is there now is said.
 */
bool image_changes_apply (const GPtrArray *disks, const GPtrArray *changes,
                          const Reporter *reporter, GError **error);
