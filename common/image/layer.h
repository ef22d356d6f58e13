/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * One image of a chain, looked at without QEMU, so that it cannot make QEMU
 * open or connect to what nobody named.
 */
#pragma once

#include "image/disk.h"

/* What qemu-img is told, before an image's path, to make it hold bitmaps. */
#define IMAGE_CHANGE_VERSION "amend -f qcow2 -o compat=1.1"

/* QEMU's driver for a format as images and people name it, static; NULL: none
 * that is known to read nothing but the file that it is given.
 */
const char *image_format_driver (const char *format);
/* All of them, for a message. */
#define IMAGE_FORMATS "qcow2, raw, luks, vmdk, vdi, vpc, vhdx and qed"

typedef enum {
  LAYER_RECORDS,                /* on top, and must be able to hold bitmaps */
  LAYER_TOP,                    /* on top */
  LAYER_BELOW,                  /* nobody writes to it */
} LayerRole;

/* Open and lock the local image at path, and its data file, and look at what it
 * says of itself.  format: image_format_driver's.
 * NULL: see image_chain_inspect.
 */
Layer *image_layer_open (const char *path, const char *format, LayerRole role,
                         GError **error);

/* Look at the first bytes of an image that is not a local file: as many as
 * qcow2_header_begins wants.  False (ENOTSUP, EINVAL) if it names other files.
 */
bool image_layer_heed_bytes (Layer *layer, const guint8 *bytes, gsize length,
                             LayerRole role, GError **error);

/* False (EBUSY if it changed) unless the layer's files are still what they were
 * when it was opened.  To be called once QEMU has opened them by their names.
 */
bool image_layer_check_unchanged (const Layer *layer, GError **error);

/* What to type so that a command of qemu-img's changes the image at path.  A new
 * string; g_free ().
 */
char *image_change_advice (const char *command, const char *path);

/* The error of an image that a command of qemu-img's mends.  Returns false. */
bool image_refuse_with (GError **error, int errnum, const char *command,
                        const char *path, const char *format, ...)
  G_GNUC_PRINTF (5, 6);
