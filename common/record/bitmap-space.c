/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Source: QEMU's docs/interop/qcow2.txt, "Bitmaps extension": a table has 8
 * bytes for each cluster of bits, and clusters of zeroes are not stored.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"
#include "record/bitmap-space.h"

#define CLUSTER_SIZE 65536
#define GRANULARITY 65536
#define ENTRY_BYTES 40          /* in the directory, without the name */
/* For refcounts, and what the file system itself needs. */
#define MARGIN (1024 * 1024)

static guint64
divide_up (guint64 a, guint64 b)
{
  return a / b + (a % b != 0);
}

static guint64
bitmap_bytes (const Bitmap *bitmap, guint64 size, guint64 cluster)
{
  const guint64 granularity
    = bitmap->granularity ? bitmap->granularity : GRANULARITY;
  const guint64 all
    = divide_up (divide_up (divide_up (size, granularity), 8), cluster);
  const guint64 dirty = bitmap->counted
    ? divide_up (bitmap->dirty_bytes, granularity) : all;

  return (MIN (all, dirty) + divide_up (all * 8, cluster)) * cluster;
}

guint64
bitmap_space_needed (const Layer *layer, const Layer *after)
{
  const guint64 cluster
    = layer->cluster_size ? layer->cluster_size : CLUSTER_SIZE;
  guint64 bytes = MARGIN, directory = 0;

  for (guint i = 0; i < after->bitmaps->len; i++) {
    const Bitmap *bitmap = g_ptr_array_index (after->bitmaps, i);
    directory += ENTRY_BYTES + strlen (bitmap->name);
    if (!bitmap->inconsistent)
      bytes += bitmap_bytes (bitmap, layer->size, cluster);
  }
  return bytes + divide_up (directory, cluster) * cluster;
}

/* On the file system of that layer, all of them. */
static guint64
needed_beside (const GPtrArray *layers, const GPtrArray *after, dev_t device)
{
  guint64 bytes = 0;

  for (guint i = 0; i < layers->len; i++) {
    const Layer *layer = g_ptr_array_index (layers, i);
    if (layer->file && layer->file->stamp.st_dev == device)
      bytes += bitmap_space_needed (layer, g_ptr_array_index (after, i));
  }
  return bytes;
}

/* ulimit -f goes for QEMU, too. */
static bool
check_limit (const Layer *layer, guint64 needed, GError **error)
{
  struct rlimit limit;

  return getrlimit (RLIMIT_FSIZE, &limit) < 0
    || limit.rlim_cur == RLIM_INFINITY
    || (guint64) layer->file->stamp.st_size + needed <= limit.rlim_cur
    || error_set (error, EFBIG, "%s may grow by %" G_GUINT64_FORMAT " bytes as "
                  "its bitmaps are stored, and files may have %"
                  G_GUINT64_FORMAT " only; type: ulimit -f unlimited",
                  layer->path, needed, (guint64) limit.rlim_cur);
}

bool
bitmap_space_check (const GPtrArray *layers, const GPtrArray *after,
                    GError **error)
{
  for (guint i = 0; i < layers->len; i++) {
    const Layer *layer = g_ptr_array_index (layers, i);
    struct statvfs system;
    if (!layer->file || !S_ISREG (layer->file->stamp.st_mode)
        || fstatvfs (layer->file->fd, &system) < 0)
      continue;
    if (!check_limit (layer, bitmap_space_needed (
                        layer, g_ptr_array_index (after, i)), error))
      return false;
    /* Some is kept for root. */
    const guint64 free = (geteuid () == 0 ? system.f_bfree : system.f_bavail)
      * (guint64) system.f_frsize;
    const guint64 needed
      = needed_beside (layers, after, layer->file->stamp.st_dev);
    if (free < needed)
      return error_set (error, ENOSPC, "the file system of %s has %"
                        G_GUINT64_FORMAT " bytes left, and to store the bitmaps "
                        "anew, which QEMU does beside the old ones, can take %"
                        G_GUINT64_FORMAT "; make room there", layer->path, free,
                        needed);
  }
  return true;
}
