/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What a storage daemon knows of a disk's layers.
 */
#pragma once

#include "image/disk.h"
#include "qemu/qmp.h"

/* Put what QEMU says of the nodes of all layers (storage_node_name) into the
 * disk: sizes, and bitmaps with their dirty bytes.  EINVAL if QEMU has found
 * other names in the images than we.
 */
bool storage_nodes_describe (Qmp *qmp, Disk *disk, GError **error);

/* A new layer with the bitmaps that QEMU has of the layer's node now;
 * layer_free.
 */
Layer *storage_nodes_bitmaps (Qmp *qmp, const Disk *disk, guint layer,
                              GError **error);
