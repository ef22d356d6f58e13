/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * libvirt's rules for documents that are made known (VIR_DOMAIN_CHECKPOINT_CREATE_
 * REDEFINE).
 */
#pragma once

#include "image/disk.h"
#include "tree/forest.h"

/* EINVAL: it says no time, its parent is not there, or is itself or one of its
 * descendants (virDomainCheckpointRedefinePrep).
 */
bool redefine_check (const Forest *forest, const Checkpoint *checkpoint,
                     GError **error);

/* The same for several (of Checkpoint), in this order: each may be the parent of
 * those after it.
 */
bool redefine_check_all (const Forest *forest, const GPtrArray *checkpoints,
                         GError **error);

/* Has each disk that it covers a bitmap that records?  What is not there any more
 * was unplugged.  ENOENT, EIO as parts_plan.
 */
bool redefine_validate (const Checkpoint *checkpoint, const GPtrArray *disks,
                        GError **error);

/* Sort documents: parents come before those that name them.  places: the place
 * in checkpoints of each, a new array of guint; g_array_unref ().  NULL with
 * EINVAL: two have one name, or they go round in a circle.
 */
GArray *redefine_order (const GPtrArray *checkpoints, GError **error);
