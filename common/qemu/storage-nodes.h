/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The layers of a disk as nodes of a storage daemon.
 */
#pragma once

#include "image/disk.h"
#include "qemu/qmp.h"

typedef struct {
  Qmp *qmp;                     /* all are borrowed */
  Disk *disk;
  bool uncached;                /* read past the page cache, where the file
                                 * system can */
  bool apart;                   /* each layer by itself */
  bool writes;                  /* over a file that can be written to */
  /* Read the first bytes of a node, at most *length. */
  bool (*read) (void *opaque, const char *node, guint8 *bytes, gsize *length,
                GError **error);
  void *opaque;
} StorageNodes;

/* Open a disk's layers read-only, each over the next, with no other below the
 * last.  Their sizes and bitmaps, with the dirty bytes, are put into the disk.
 * Fails with EBUSY (changed since it was inspected), EACCES (a secret is wrong
 * or missing), EIO (no answer), or what QEMU says.  Nodes may be left then, so
 * end the daemon.
 */
bool storage_nodes_open (const StorageNodes *nodes, GError **error);

/* With apart: open one layer, read-only yet.  Returns the options of its
 * node, for blockdev-reopen; json_object_unref ().  NULL as
 * storage_nodes_open, and ENOTSUP from read for one that is elsewhere.
 * Before the first layer of each disk comes storage_nodes_add_secrets.
 */
JsonObject *storage_nodes_open_apart (const StorageNodes *nodes, guint layer,
                                      GError **error);
bool storage_nodes_add_secrets (const StorageNodes *nodes, GError **error);

/* The name of a layer's node, a new string.  QEMU's are identifiers of at most
 * 31 characters, so it is built from where the disk is in memory, not from its
 * target.
 */
char *storage_node_name (const Disk *disk, guint layer);
