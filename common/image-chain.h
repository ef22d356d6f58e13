/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A stopped guest's image and the files below it.
 */
#ifndef COMMON_IMAGE_CHAIN_H
#define COMMON_IMAGE_CHAIN_H

#include "disk.h"

/* Something to be tried on the file of each layer, while qemu-img reads it;
 * open_file's error, if it sets one, is that of image_chain_inspect.
 */
typedef struct {
  void (*open_file) (const char *path, bool is_block_device, void *data,
                     GError **error);
  void *data;
} LayerTry;

/* Inspect the qcow2 image at path (absolute) and every backing file below
 * it, read-only, with qemu-img.  An array of Layer, top first, the caller's.
 * Refused, with a remedy in the message: missing, unreadable, not qcow2,
 * qcow2 version 2, corrupt, encrypted, in use by another program (EBUSY),
 * a backing file that is not a local file, whose format is not recorded, or
 * that leads back to itself.  try may be NULL.
 */
GPtrArray *image_chain_inspect (const char *path, const LayerTry *try,
                                GError **error);

/* Is the layer's file still what it was when it was inspected?  To be asked
 * once the image is locked against writers.
 */
bool image_chain_unchanged (const Layer *layer, GError **error);

#endif /* COMMON_IMAGE_CHAIN_H */
