/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * From which checkpoint disks have gone on.
 */
#pragma once

#include "image/disk.h"
#include "tree/forest.h"

/* The parent of the next checkpoint of these disks (of Disk): mostly the one that
 * libvirt takes for current (forest_current).  But once a snapshot was reverted, the
 * disks are what they were before, and have no bitmaps of what came after it: then
 * it is the last one that they have one of.  NULL: there is none, or two branches
 * could be it.  Borrowed.  Not for a guest of libvirt's, which has an idea of its
 * own.
 */
const Checkpoint *current_on_disks (const Forest *forest,
                                    const GPtrArray *disks);
