/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The refusals of parts.c.  error is NULL where nobody wants to know.
 */
#pragma once

#include "base/reason.h"
#include "base/remedy.h"
#include "image/disk.h"
#include "tree/forest.h"

/* ENOENT: nothing was recorded of the disk since the checkpoint. */
bool parts_not_covered (const Forest *forest, const Disk *disk,
                        const char *checkpoint, GError **error);

/* ENOENT: a bitmap that the checkpoint needs is in no layer. */
bool parts_missing (const Forest *forest, const Disk *disk,
                    const Checkpoint *checkpoint, const char *bitmap,
                    GError **error);

/* ENOENT: the layer that the disk was at the checkpoint has lost the bitmap. */
bool parts_lost (const Disk *disk, const Layer *layer, const char *bitmap,
                 GError **error);

/* ENOENT: a layer may hold a part of the record, but its server does not offer
 * the bitmap.
 */
bool parts_not_offered (const Disk *disk, const Layer *layer,
                        const char *bitmap, GError **error);

/* EIO: the layer's bitmap was lost in a crash. */
bool parts_inconsistent (const Disk *disk, const Layer *layer,
                         const char *bitmap, GError **error);

/* EILSEQ: QEMU does not tell the name of the layer's bitmap. */
bool parts_misnamed (const Disk *disk, const Layer *layer,
                     const char *bitmap, GError **error);

/* ENOTSUP: the layer tells what changed by what is allocated in it, and a guest
 * writes to it, of which another program's job can take the layers below away: then
 * version 2 keeps no sign of zeroes.
 */
bool parts_forgets_zeroes (const Disk *disk, const Layer *layer,
                           GError **error);

/* EIO: the record ends in a layer (its number).  why: nothing goes on there, or
 * nothing is known to (REASON_DISABLED, REASON_NO_WAY).
 */
bool parts_not_recording (const Disk *disk, const Checkpoint *checkpoint,
                          guint layer, const char *why, Reason reason,
                          Remedy remedy, GError **error);

/* EIO: bitmap, of no known checkpoint, may have gone on where the record ends. */
bool parts_forgotten_between (const Disk *disk, const Checkpoint *checkpoint,
                              guint layer, const char *bitmap,
                              GError **error);

/* The commands of qemu-img that remove the bitmap from every layer, the top one
 * first: without the lower ones, the rest would look complete, like a bitmap that
 * was made later.  "" if no layer has it.  A new string; g_free ().
 */
char *parts_removal (const Disk *disk, const char *bitmap);

/* May a layer of the disk have lost the bitmap, as those there are void? */
bool parts_may_be_lost (const Disk *disk, const char *bitmap);

/* Those that remove all bitmaps that may have gone on where others are void, and
 * then the sign of that.  A new string; g_free ().
 */
char *parts_void_removal (const Disk *disk);

/* Why it cannot be known what came after a checkpoint, if its tree has
 * branches; else NULL.  Returns a new string; g_free ().
 */
char *parts_branch_reason (const Forest *forest, const Disk *disk,
                           const Checkpoint *checkpoint);
