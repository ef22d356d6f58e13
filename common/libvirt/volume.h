/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The keeper asks libvirt where a volume of a storage pool lies.
 */
#pragma once

#include "libvirt/guest-image.h"
#include "libvirt/kept.h"

/* By which name QEMU would open an image that is a volume, as GuestImage's.
 * Returns a new string; NULL with an error that says what to type: the pool is
 * not active, or has no such volume.  libvirt's calls have no limit.
 */
char *volume_name (const Hypervisor *hypervisor, const GuestImage *image,
                   GError **error);
