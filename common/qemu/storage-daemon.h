/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A private, read-only qemu-storage-daemon over the images of stopped
 * guests.  QEMU's own code reads the bitmaps and the clusters.
 */
#pragma once

#include "base/child.h"
#include "image/disk.h"
#include "nbd/endpoint.h"

typedef struct StorageDaemon StorageDaemon;

/* Start it, for disks (of Disk) whose files have been opened, without waiting
 * until it is ready.  Its socket has no name in any folder, so nothing is left
 * behind however we end.  It ends with us as any child does (child_start), also
 * when we have forked meanwhile.
 */
StorageDaemon *storage_daemon_start (NbdLife *life, const GPtrArray *disks,
                                     GError **error);

/* True if it has our user and group of now: not after nbdkit --user. */
bool storage_daemon_is_ours (const StorageDaemon *daemon);

/* End it and free.  NULL is fine. */
void storage_daemon_stop (StorageDaemon *daemon);

/* The process, borrowed: to disown it, or to ask what it says. */
Child *storage_daemon_child (StorageDaemon *daemon);

/* Open a disk's layers; see storage_nodes_open. */
bool storage_daemon_open (StorageDaemon *daemon, Disk *disk, bool uncached,
                          GError **error);

/* Export the disk's top layer with the dirty bits of one bitmap of one layer
 * (bitmap NULL: with the allocation of all layers).  Says in endpoint where it
 * is, not what of it counts as dirty.  Asked again for the same, it names the
 * same export, as QEMU lets a bitmap be in one export only.  Any thread.
 */
bool storage_daemon_export (StorageDaemon *daemon, const Disk *disk,
                            guint layer, const char *bitmap,
                            NbdEndpoint *endpoint, GError **error);
