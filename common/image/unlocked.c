/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * See unlocked.h.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/disk.h"
#include "image/qcow2-bitmaps.h"
#include "image/qcow2-header.h"
#include "image/unlocked.h"

/* Open an image and read its header, without a lock.  Returns a descriptor, or
 * -1 if it is not qcow2, or if it cannot be looked at: *unseen is the errno
 * then, else 0.
 */
static int
open_qcow2 (const char *path, Qcow2Header *header, int *unseen)
{
  auto_fd fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  guint8 begin[128];
  gsize needed;
  const char *why;
  ssize_t n = fd >= 0 ? pread (fd, begin, sizeof begin, 0) : -1;

  *unseen = n < 0 ? errno : 0;
  if (n < 0 || !qcow2_header_begins (begin, (gsize) n, &needed))
    return -1;
  g_autofree guint8 *bytes = g_malloc (needed);
  n = pread (fd, bytes, needed, 0);
  if (n < 0)
    *unseen = errno;
  return n >= 0 && qcow2_header_parse (bytes, (gsize) n, header, &why)
    ? g_steal_fd (&fd) : -1;
}

const char *
image_void_bitmap (const char *path, const char *bitmap, bool needed,
                   int *unseen)
{
  g_auto (Qcow2Header) header = { 0 };
  auto_fd fd = open_qcow2 (path, &header, unseen);

  if (fd < 0)
    return needed && !*unseen ? "it is not qcow2 any more" : NULL;
  if (needed && !header.bitmaps)
    return "it has none any more";
  if (needed || !header.void_bitmaps)
    return header.void_bitmaps;
  g_autoptr (GPtrArray) names = qcow2_bitmap_names (fd, &header);
  return disk_names_lack (names, bitmap) ? NULL : header.void_bitmaps;
}

bool
image_is_version_2 (const char *path)
{
  g_auto (Qcow2Header) header = { 0 };
  int unseen;
  auto_fd fd = open_qcow2 (path, &header, &unseen);

  return fd >= 0 && header.version == 2;
}

GPtrArray *
image_bitmap_names (const char *path, bool *ended)
{
  g_auto (Qcow2Header) header = { 0 };
  int unseen;
  auto_fd fd = open_qcow2 (path, &header, &unseen);

  return fd >= 0 && header.bitmaps && !header.void_bitmaps
    ? qcow2_bitmap_names_flags (fd, &header, ended) : NULL;
}

bool
image_has_bitmap (const char *path, const char *bitmap)
{
  bool ended = false;
  g_autoptr (GPtrArray) names = image_bitmap_names (path, &ended);

  return names && !disk_names_lack (names, bitmap);
}

const char *
image_void_bitmaps (const char *path, GPtrArray **names)
{
  g_auto (Qcow2Header) header = { 0 };
  int unseen;
  auto_fd fd = open_qcow2 (path, &header, &unseen);

  *names = fd >= 0 && header.void_bitmaps ? qcow2_bitmap_names (fd, &header)
    : NULL;
  return fd >= 0 ? header.void_bitmaps : NULL;
}
