/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Clusters and subclusters of a stopped guest's disk, read straight from the
 * files that hold them, without a second process and a copy on the way.  What is
 * compressed, or not as expected in any way, is left to QEMU.  Nobody may write to
 * the images meanwhile: they are locked (image_chain_inspect).
 *
 * Source: QEMU 7.2 docs/interop/qcow2.txt, L1 and L2 tables, standard cluster
 * descriptors, extended L2 entries.
 */
#pragma once

#include "image/disk.h"
#include "image/drop-behind.h"

typedef struct DirectRead DirectRead;

/* Reads the layers through their descriptors, which must stay open until this
 * is freed.  What is read leaves the page cache again by behind (borrowed;
 * NULL: it stays).  NULL if the disk cannot be read so (an unknown feature, a
 * format that is neither raw nor qcow2), which is no error.
 */
DirectRead *direct_read_open (const Disk *disk, DropBehind *behind);
void direct_read_free (DirectRead *direct);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DirectRead, direct_read_free)

/* Read bytes at offset, which must lie on the disk.  Returns how many of the
 * count bytes are in buffer now; if none, *others is how many must be read
 * through QEMU instead.  One of both is at least 1 if count is.  Any thread.
 */
guint32 direct_read (const DirectRead *direct, void *buffer, guint32 count,
                     guint64 offset, guint32 *others);
