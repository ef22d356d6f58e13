/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Source: docs/interop/qcow2.txt of QEMU 7.2.  The clusters are, in this order: the
 * header, a table of one refcount block, that block, and the L1 table.
 */
#include <config.h>

#include <errno.h>
#include <unistd.h>

#include "image/qcow2-empty.h"

#define CLUSTER_BITS 16
#define CLUSTER (G_GUINT64_CONSTANT (1) << CLUSTER_BITS)
/* Of the disk, what one entry of the L1 table is for. */
#define STRIDE (CLUSTER / 8 * CLUSTER)
/* QEMU takes no larger tables (QCOW_MAX_L1_SIZE of block/qcow2.h): all that there
 * is at first has its refcounts in one block, then.
 */
#define L1_MOST (32 * 1024 * 1024 / 8)

enum { HEADER, REFCOUNT_TABLE, REFCOUNT_BLOCK, L1_TABLE };

typedef struct {
  guint32 magic, version;
  guint64 backing_offset;
  guint32 backing_size, cluster_bits;
  guint64 size;
  guint32 crypt_method, l1_size;
  guint64 l1_offset, refcount_offset;
  guint32 refcount_clusters, snapshot_count;
  guint64 snapshots_offset;
  guint64 incompatible, compatible, autoclear;
  guint32 refcount_order, header_length;
} Header;

G_STATIC_ASSERT (sizeof (Header) == 104);

static bool
write_at (int fd, const void *bytes, gsize length, guint64 offset)
{
  const ssize_t n = pwrite (fd, bytes, length, (off_t) offset);

  if (n >= 0 && (gsize) n < length)
    errno = ENOSPC;
  return n >= 0 && (gsize) n == length;
}

bool
qcow2_write_empty (int fd, guint64 size)
{
  const guint64 l1_size = MAX (size / STRIDE + (size % STRIDE != 0), 1);
  const guint64 l1_clusters = (l1_size * 8 + CLUSTER - 1) / CLUSTER;
  const guint clusters = (guint) (L1_TABLE + l1_clusters);

  if (l1_size > L1_MOST) {
    errno = EFBIG;
    return false;
  }
  const Header header = {
    .magic = GUINT32_TO_BE (0x514649fb), /* "QFI\xfb" */
    .version = GUINT32_TO_BE (3),
    .cluster_bits = GUINT32_TO_BE (CLUSTER_BITS),
    .size = GUINT64_TO_BE (size),
    .l1_size = GUINT32_TO_BE ((guint32) l1_size),
    .l1_offset = GUINT64_TO_BE (L1_TABLE * CLUSTER),
    .refcount_offset = GUINT64_TO_BE (REFCOUNT_TABLE * CLUSTER),
    .refcount_clusters = GUINT32_TO_BE (1),
    .refcount_order = GUINT32_TO_BE (4), /* 16 bits each */
    .header_length = GUINT32_TO_BE (sizeof header),
  };
  const guint64 block = GUINT64_TO_BE (REFCOUNT_BLOCK * CLUSTER);
  g_autofree guint16 *refcounts = g_new (guint16, clusters);

  for (guint i = 0; i < clusters; i++)
    refcounts[i] = GUINT16_TO_BE (1);
  return ftruncate (fd, (off_t) (clusters * CLUSTER)) == 0
    && write_at (fd, &block, sizeof block, REFCOUNT_TABLE * CLUSTER)
    && write_at (fd, refcounts, clusters * sizeof *refcounts,
                 REFCOUNT_BLOCK * CLUSTER)
    && write_at (fd, &header, sizeof header, HEADER);
}
