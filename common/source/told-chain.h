/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Are a disk's images those that its guest's definition tells of?  libvirt has
 * QEMU open what the definition names, whatever the images say.
 */
#pragma once

#include "image/disk.h"
#include "libvirt/guest-xml.h"

/* False (ENOTSUP) if the definition's chain ends earlier or later than layers (of
 * Layer, top first), or has the data of one in another file: then the guest reads
 * other bytes.  edit: the command to change the definition.  (That each layer is
 * the one told of at its place, and of the told format, image_chain_inspect sees
 * to.)
 */
bool told_chain_fits (const GuestChain *chain, const GPtrArray *layers,
                      const char *edit, GError **error);
