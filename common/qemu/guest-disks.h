/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The disks of a running QEMU's guest, as it has them open.
 */
#pragma once

#include "image/disk.h"
#include "qemu/monitor.h"

/* A new array of Disk: the guest's hard disks, whose layers have the names of
 * QEMU's nodes; of a QEMU without a guest, which serves others, all images that
 * nothing else stands on.  What the guest cannot write to, or can take out, and
 * its firmware's memory, is no disk.  Bitmaps that are not persistent are left
 * out.  A disk's target is the -drive's id, or else the device's id, or else the
 * node's name: made one, and unique.
 */
GPtrArray *guest_disks_look (const Monitor *monitor, GError **error);
