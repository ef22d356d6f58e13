/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The disks of a running QEMU, under the names that a guest's documents have for
 * them.
 */
#pragma once

#include "image/disk.h"
#include "qemu/monitor.h"
#include "source/request.h"
#include "tree/forest.h"

/* Connect to the request's monitor, and look: a new array of Disk.  Their targets
 * are those of the newest document in tree (or NULL) that tells of one of their
 * files, if any does; else as guest_disks_look.  life: borrowed, by *monitor.
 */
GPtrArray *qmp_disks_open (const SourceRequest *request, const Forest *tree,
                           const NbdLife *life, Monitor **monitor,
                           GError **error);

/* The same on a monitor that is open. */
GPtrArray *qmp_disks_look (const SourceRequest *request, const Forest *tree,
                           const Monitor *monitor, GError **error);

/* Is what is written to the disk there still when QEMU has ended?  ENOTSUP if
 * not.
 */
bool qmp_disk_stays (const Disk *disk, GError **error);
