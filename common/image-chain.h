/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A stopped guest's image and the files below it.
 */
#ifndef COMMON_IMAGE_CHAIN_H
#define COMMON_IMAGE_CHAIN_H

#include "disk.h"

/* Look at the header of the qcow2 image at path (absolute), and of every
 * backing file below it, read-only, without locks and without QEMU.  An array
 * of Layer without sizes and bitmaps (which storage_daemon_open finds), top
 * first, the caller's.  Refused, with a remedy in the message: missing,
 * unreadable, not qcow2, qcow2 version 2, corrupt, encrypted, a backing file
 * that is not a local file, whose format is not recorded, or that leads back to
 * itself.
 */
GPtrArray *image_chain_inspect (const char *path, GError **error);

/* Is the layer's file still what it was when it was inspected?  To be asked
 * once QEMU's lock keeps writers out.
 */
bool image_chain_unchanged (const Layer *layer, GError **error);

#endif /* COMMON_IMAGE_CHAIN_H */
