/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A private, read-only qemu-storage-daemon over the images of stopped
 * guests.  QEMU's own code reads the bitmaps and the clusters; while it
 * runs, its lock keeps writers out of the images.
 */
#ifndef COMMON_STORAGE_DAEMON_H
#define COMMON_STORAGE_DAEMON_H

#include "disk.h"
#include "nbd-endpoint.h"

typedef struct StorageDaemon StorageDaemon;

/* Start it, without waiting until it is ready: what else there is to do can
 * be done meanwhile.  Its socket has no name in any folder, so nothing is left
 * behind however we end; see child_start for which thread may call this.
 */
StorageDaemon *storage_daemon_start (GError **error);

/* End it and free.  NULL is fine. */
void storage_daemon_stop (StorageDaemon *daemon);

/* Open a file only, not what it holds.  A daemon that can do this will do the
 * rest, too, if qemu-img info can read the image, and QEMU takes 5 ms for each
 * time that it opens 16 TiB with a bitmap.
 */
bool storage_daemon_try (StorageDaemon *daemon, const char *path,
                         bool is_block_device, GError **error);

/* Open a disk's layers.  Afterwards they cannot change any more, so the
 * bitmaps in disk are replaced by what the daemon found, with their dirty
 * bytes; refused (EBUSY) if a file changed since it was inspected.
 */
bool storage_daemon_open (StorageDaemon *daemon, Disk *disk, GError **error);

/* Export the disk's top layer with the dirty bits of one bitmap of one
 * layer (bitmap NULL: with the allocation of the layers down to that one)
 * and say where.  Asked again for the same, it names the same export, as
 * QEMU lets a bitmap be in one export only.  Thread-safe.
 */
bool storage_daemon_export (StorageDaemon *daemon, const Disk *disk,
                            guint layer, const char *bitmap,
                            NbdEndpoint *endpoint, GError **error);

#endif /* COMMON_STORAGE_DAEMON_H */
