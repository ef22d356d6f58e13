/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A private qemu-storage-daemon that changes bitmaps in the images of
 * stopped guests.  QEMU marks all bitmaps of an image inconsistent
 * ("in-use") for as long as it may write to it, and stores them when it has
 * written, so they are lost if it is killed meanwhile: it is told to end,
 * also when we are killed (CHILD_SAVES).
 */
#pragma once

#include "image/disk.h"
#include "qemu/qmp.h"

typedef struct {
  Disk *disk;                   /* borrowed */
  guint layer;                  /* 0 on top */
  bool writes;                  /* else it is read only */
  JsonObject *options;          /* of its node; what follows is the writer's */
  bool writable;                /* its bitmaps are in QEMU's memory only */
} StoragePlace;

typedef struct StorageWriter StorageWriter;

/* Start it, and open all places (of StoragePlace; borrowed), of which none
 * is changed yet.  Our own locks on them stay until storage_writer_begin.
 * EAGAIN: one is not what it was when it was looked at; ENOTSUP: it is no
 * local file; else as storage_nodes_open.
 */
StorageWriter *storage_writer_start (GPtrArray *places, GError **error);

/* Let QEMU write, and all others, until storage_writer_stop, not: none, or
 * all places that were to be written.  Our locks are released.  EBUSY:
 * others use one.
 */
bool storage_writer_begin (StorageWriter *writer, GError **error);

Qmp *storage_writer_qmp (StorageWriter *writer);

/* Store a place's bitmaps; from then on it is read only.  If that fails,
 * they are still in QEMU's memory: ENOSPC, or EINVAL with its words; EIO: it
 * does not answer.
 */
bool storage_writer_store (StorageWriter *writer, StoragePlace *place,
                           GError **error);
/* Let QEMU write once more. */
bool storage_writer_resume (StorageWriter *writer, StoragePlace *place,
                            GError **error);

/* End it, and free; QEMU stores then what was not.  Locks are ours again, if
 * nobody was faster.  False: after many minutes it was not ready, and is
 * left to store what it has.  NULL is fine.
 */
bool storage_writer_stop (StorageWriter *writer, GError **error);
