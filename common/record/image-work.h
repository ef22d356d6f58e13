/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Changes of bitmaps, as work to be done at images.
 */
#pragma once

#include "image/disk.h"
#include "qemu/storage-writer.h"
#include "record/change.h"

typedef struct {
  const GPtrArray *disks;       /* of Disk */
  GPtrArray *twins;             /* of ImageFile: the files of places, opened and
                                 * locked once more by other disks */
  GPtrArray *places;            /* of StoragePlace */
  GPtrArray *changes;           /* of BitmapChange: each file's once */
  GPtrArray *before, *after;    /* of Layer, by place */
  bool only_adds;
} ImageWork;

/* Plan it: image_work_clear () in any case.  ENOTSUP: one of the layers must
 * not be written to.  disks, of Disk: all that are open; borrowed.
 */
bool image_work_init (ImageWork *work, const GPtrArray *disks,
                      const GPtrArray *changes, GError **error);
void image_work_clear (ImageWork *work);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ImageWork, image_work_clear)

/* Release, and take again, the locks of twins; the first of each keeps its
 * own.
 */
void image_work_unlock_twins (const ImageWork *work);
void image_work_lock_twins (const ImageWork *work);

/* The layer of a place, borrowed. */
const Layer *image_work_layer (const StoragePlace *place);
/* The place of a layer, borrowed. */
StoragePlace *image_work_place (const ImageWork *work, const Disk *disk,
                                guint layer);

/* How what the disks tell differs from expected (of Layer, as before and
 * after), for a message: a new string; NULL: not at all.
 */
char *image_work_differences (const ImageWork *work, const GPtrArray *expected);
