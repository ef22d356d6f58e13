/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Read the bitmap directory of a qcow2 image, or refuse all of it.
 */
#include <config.h>

#include <string.h>
#include <unistd.h>

#include "image/qcow2-bitmaps.h"
#include "image/qcow2-format.h"

/* QEMU's is 64 MiB; this has room for 16,000 names of libvirt's. */
#define DIRECTORY_MOST (1024 * 1024)
/* An entry: the offset of its table (8), its size (4), flags (4), type (1),
 * granularity (1), the lengths of the name (2) and of extra data (4), these.
 */
#define ENTRY_LENGTH 24
#define AT_FLAGS 12
#define FLAG_AUTO 2
#define AT_TYPE 16
#define AT_GRANULARITY 17
#define AT_NAME_LENGTH 18
#define AT_EXTRA_LENGTH 20
#define TYPE_DIRTY 1
#define GRANULARITY_LEAST 9
#define GRANULARITY_MOST 31
#define NAME_MOST 1023

/* Returns the length of the entry at bytes, or 0 if that is none. */
static gsize
read_entry (const guint8 *bytes, gsize left, char **name)
{
  if (left < ENTRY_LENGTH || bytes[AT_TYPE] != TYPE_DIRTY
      || bytes[AT_GRANULARITY] < GRANULARITY_LEAST
      || bytes[AT_GRANULARITY] > GRANULARITY_MOST)
    return 0;
  const gsize name_length = qcow2_number (bytes + AT_NAME_LENGTH, 2);
  const gsize extra = qcow2_number (bytes + AT_EXTRA_LENGTH, 4);
  if (name_length == 0 || name_length > NAME_MOST
      || extra > left - ENTRY_LENGTH
      || name_length > left - ENTRY_LENGTH - extra)
    return 0;
  const char *text = (const char *) bytes + ENTRY_LENGTH + extra;
  if (memchr (text, '\0', name_length))
    return 0;
  const gsize length = (ENTRY_LENGTH + extra + name_length + 7) & ~(gsize) 7;
  if (length > left)
    return 0;
  *name = g_strndup (text, name_length);
  return length;
}

GPtrArray *
qcow2_bitmap_names_flags (int fd, const Qcow2Header *header, bool *ended)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const gsize size = header->directory_size;

  if (!header->bitmaps || size == 0 || size > DIRECTORY_MOST
      || header->directory_offset > G_MAXINT64 - size)
    return NULL;
  g_autofree guint8 *bytes = g_malloc (size);
  if (pread (fd, bytes, size, (off_t) header->directory_offset)
      != (ssize_t) size)
    return NULL;
  for (gsize at = 0, length; at < size; at += length) {
    char *name;
    length = read_entry (bytes + at, size - at, &name);
    if (length == 0)
      return NULL;
    g_ptr_array_add (names, name);
    *ended = *ended
      || !(qcow2_number (bytes + at + AT_FLAGS, 4) & FLAG_AUTO);
  }
  return names->len == header->bitmap_count ? g_steal_pointer (&names) : NULL;
}

GPtrArray *
qcow2_bitmap_names (int fd, const Qcow2Header *header)
{
  bool ended = false;

  return qcow2_bitmap_names_flags (fd, header, &ended);
}
