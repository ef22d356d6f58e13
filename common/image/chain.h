/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A stopped guest's image and the files below it.
 */
#pragma once

#include "image/disk.h"

/* Lock the qcow2 image at path, and every backing file below it, against
 * writers, as QEMU does, and read their headers, without QEMU.  Returns a new
 * array of Layer, top first, without sizes and bitmaps (storage_daemon_open
 * finds those); the locks hold until a layer is freed.  NULL if a file is
 * missing, unreadable, not qcow2, qcow2 version 2, corrupt, encrypted, in use
 * by a writer (EBUSY), or has a backing file that is not local, whose format is
 * not recorded, or that leads back to it.
 */
GPtrArray *image_chain_inspect (const char *path, GError **error);

/* What qemu-img is told, before an image's path, to make it hold bitmaps. */
#define IMAGE_CHANGE_VERSION "amend -f qcow2 -o compat=1.1"

/* These lock nothing: of a running guest's image they tell what was there when
 * QEMU opened it.  The first two are false if it cannot be looked at.
 */
/* True if the image at path is qcow2 version 2, which can hold no bitmap. */
bool image_is_version_2 (const char *path);
/* True if it has a bitmap of that name. */
bool image_has_bitmap (const char *path, const char *bitmap);
/* Why its bitmap of that name says nothing any more (static), by its
 * header.  NULL if the bitmap is good, if there is none, or if the image cannot
 * be looked at: *unseen is the errno then, else 0.  needed: to have none is a
 * reason.
 */
const char *image_void_bitmap (const char *path, const char *bitmap,
                               bool needed, int *unseen);

/* False (EBUSY if it changed) unless the layer's file is still what it was when
 * it was inspected.  To be called once QEMU has opened it by its name.
 */
bool image_chain_unchanged (const Layer *layer, GError **error);
