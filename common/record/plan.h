/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Which bitmaps a checkpoint's making or deleting changes.
 */
#pragma once

#include "parts/parts.h"
#include "record/change.h"
#include "record/record.h"

/* Can the disk's top image hold bitmaps?  ENOTSUP if not. */
bool plan_can_record (const Disk *disk, GError **error);

/* A bitmap on top of each disk that the checkpoint covers.  EEXIST: a layer has
 * one of that name already, of which no checkpoint is known.
 */
GPtrArray *plan_create (const GPtrArray *disks, const Checkpoint *checkpoint,
                        GError **error);

/* The checkpoints of forest that go: a new array, parents first. */
GPtrArray *plan_doomed (const Forest *forest, const Checkpoint *checkpoint,
                        DeleteScope scope);

/* Remove the bitmaps of doomed (of Checkpoint) from all layers.  Where the nearest
 * ancestor that stays has a disabled one, as libvirt before 6.5 left them, what
 * was recorded since is merged into that first, layer by layer, and goes on there
 * if it does in a doomed one: no older view may lose a block.
 * ENOENT: a doomed checkpoint covers a disk on which no layer has its bitmap, as
 * libvirt refuses it, too; EIO: a record that an older view needs is lost.
 */
GPtrArray *plan_delete (const Forest *forest, const GPtrArray *disks,
                        const GPtrArray *doomed, GError **error);

/* May their documents go, and the bitmaps stay?  EIO as above. */
bool plan_forget (const Forest *forest, const GPtrArray *disks,
                  const GPtrArray *doomed, GError **error);
