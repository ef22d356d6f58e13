/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * qcow2 images of version 2, which hold no bitmaps, of a guest on this machine.
 */
#pragma once

#include "libvirt/guest-xml.h"

/* False, too, of one that cannot be looked at. */
bool version_2_is (const GuestDisk *disk);

/* "disk vda is of version 2: to change that, …".  Returns a new string;
 * g_free ().
 */
char *version_2_amend (const GuestDisk *disk);
