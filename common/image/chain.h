/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A stopped guest's image and the files below it.
 */
#ifndef COMMON_IMAGE_CHAIN_H
#define COMMON_IMAGE_CHAIN_H

#include "image/disk.h"

/* Lock the qcow2 image at path, and every backing file below it, against
 * writers, as QEMU does, and look at their headers, without QEMU.  An array of
 * Layer without sizes and bitmaps (which storage_daemon_open finds), top first,
 * the caller's; the locks hold until a layer is freed.  Refused, with a remedy
 * in the message: missing, unreadable, not qcow2, qcow2 version 2, corrupt,
 * encrypted, in use by a writer (EBUSY), a backing file that is not a local
 * file, whose format is not recorded, or that leads back to itself.
 */
GPtrArray *image_chain_inspect (const char *path, GError **error);

/* What qemu-img is told, before an image's path, to make it hold bitmaps. */
#define IMAGE_CHANGE_VERSION "amend -f qcow2 -o compat=1.1"

/* Does the image at path say that it is qcow2 version 2, which can hold no
 * bitmap?  False if it cannot be looked at.  Nothing is locked: while a guest
 * runs, the version of its image stays what it is.
 */
bool image_is_version_2 (const char *path);

/* Does the image at path say that it has a bitmap of that name?  False if it
 * cannot be looked at.  Nothing is locked: of a running guest's image it tells
 * what was there when QEMU opened it.
 */
bool image_has_bitmap (const char *path, const char *bitmap);

/* Why the bitmap of that name in the image at path says nothing any more
 * (static), by the image's header; NULL if it does, if there is none, or if the
 * image cannot be looked at, and *unseen is then the errno that tells why (else
 * 0).  needed: to have none is a reason, too.  Nothing is locked.
 */
const char *image_void_bitmap (const char *path, const char *bitmap,
                               bool needed, int *unseen);

/* Is the layer's file still what it was when it was inspected?  To be asked
 * once QEMU has opened it by its name.
 */
bool image_chain_unchanged (const Layer *layer, GError **error);

#endif /* COMMON_IMAGE_CHAIN_H */
