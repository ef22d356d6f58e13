/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What can be read: a disk, a volume on disks, or a volume in another process.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

typedef struct Media Media;
struct Media {
  guint64 size;                 /* bytes */
  /* offset + count is at most size. */
  bool (*read) (Media *self, void *buffer, guint32 count, guint64 offset,
                GError **error);
};

/* Read what may lie beyond the end: false without an error then. */
static inline bool
media_read (Media *media, void *buffer, guint32 count, guint64 offset,
            GError **error)
{
  return offset <= media->size && count <= media->size - offset
    && media->read (media, buffer, count, offset, error);
}

/* Numbers as they lie on disks. */
static inline guint64
number_le (const guint8 *bytes, guint width)
{
  guint64 number = 0;

  for (guint i = width; i > 0; i--)
    number = number << 8 | bytes[i - 1];
  return number;
}

static inline guint64
number_be (const guint8 *bytes, guint width)
{
  guint64 number = 0;

  for (guint i = 0; i < width; i++)
    number = number << 8 | bytes[i];
  return number;
}
