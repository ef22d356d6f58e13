/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Directories: small ones are in their inode, others in blocks of entries.  What
 * is only there to find an entry fast is not read.
 */
#include <config.h>

#include <string.h>

#include "filesystem/xfs.h"

/* Bytes of a directory from here on are no entries. */
#define ENTRIES_END ((guint64) 32 * 1024 * 1024 * 1024)
#define TYPE_DIRECTORY 2
#define FREE_TAG 0xffff

typedef struct {
  XfsLook *look;
  Names *names;
  guint64 directory;
  GArray *extents;              /* of XfsExtent, of what holds entries */
  guint8 *inode;                /* for who asks whether one is a directory */
} Visit;

static void
enter (const Visit *self, guint64 inode, const guint8 *name, guint length,
       const guint8 *type)
{
  if ((length == 1 && name[0] == '.')
      || (length == 2 && memcmp (name, "..", 2) == 0))
    return;
  const bool is_directory = type ? *type == TYPE_DIRECTORY
    : xfs_inode_read (self->look, inode, self->inode)
      && xfs_inode_is_directory (self->inode);
  names_enter (self->names, self->directory, inode, (const char *) name, length,
               is_directory);
}

static void
read_short (const Visit *self, const guint8 *fork, guint length)
{
  const bool types = self->look->geometry.has_types;
  const guint width = length >= 2 && fork[1] ? 8 : 4;
  guint at = 2 + width;

  for (guint n = fork[0]; n > 0 && at < length; n--) {
    const guint name = fork[at];
    const guint after = at + 3 + name;
    if (after + (types ? 1 : 0) + width > length)
      return;
    enter (self, number_be (fork + after + (types ? 1 : 0), width),
           fork + at + 3, name, types ? fork + after : NULL);
    at = after + (types ? 1 : 0) + width;
  }
}

static void
read_entries (const Visit *self, const guint8 *block)
{
  const guint size = self->look->geometry.directory_block;
  const guint types = self->look->geometry.has_types ? 1 : 0;
  guint at = self->look->geometry.is_v5 ? 64 : 16;
  guint end = size;

  if (memcmp (block, "XD2B", 4) == 0 || memcmp (block, "XDB3", 4) == 0)
    end -= MIN (number_be (block + size - 8, 4) * 8 + 8, size);
  else if (memcmp (block, "XD2D", 4) != 0 && memcmp (block, "XDD3", 4) != 0)
    return;
  while (at + 16 <= end) {
    if (number_be (block + at, 2) == FREE_TAG) {
      const guint length = number_be (block + at + 2, 2);
      if (length < 8 || length % 8 != 0)
        return;
      at += length;
      continue;
    }
    const guint name = block[at + 8];
    const guint length = (8 + 1 + name + types + 2 + 7) / 8 * 8;
    if (at + length > end)
      return;
    enter (self, number_be (block + at, 8), block + at + 9, name,
           types ? block + at + 9 + name : NULL);
    at += length;
  }
}

static void
keep_extent (void *opaque, const XfsExtent *extent)
{
  const Visit *self = opaque;
  const guint64 end
    = ENTRIES_END >> self->look->geometry.block_log;

  if (extent->offset < end && extent->count > 0)
    g_array_append_val (self->extents, *extent);
}

/* A block of entries may lie in several extents; it is made of blocks of the file
 * system, which are collected one after another.
 */
static void
read_blocks (const Visit *self)
{
  const XfsGeometry *geometry = &self->look->geometry;
  const guint64 per = geometry->directory_block >> geometry->block_log;
  g_autofree guint8 *block = g_malloc0 (geometry->directory_block);
  guint64 next = 0;             /* the block of the file that comes next */

  for (guint i = 0; i < self->extents->len; i++) {
    const XfsExtent *extent = &g_array_index (self->extents, XfsExtent, i);
    if (extent->offset < next)
      return;
    for (guint64 k = 0; k < extent->count; k++) {
      const guint64 number = extent->offset + k;
      const guint64 at = xfs_block_at (geometry, extent->block + k);
      if (at == G_MAXUINT64
          || !media_read (self->look->examination->media,
                          block + number % per * geometry->block,
                          geometry->block, at, NULL)) {
        self->look->broken = true;
        return;
      }
      if (number % per == per - 1)
        read_entries (self, block);
    }
    next = extent->offset + extent->count;
  }
}

static void
read_directory (Visit *self, const guint8 *inode)
{
  const XfsForkVisit visit = { self, keep_extent, NULL };
  guint length, format;
  const guint8 *fork
    = xfs_fork (self->look, inode, XFS_FORK_DATA, &length, &format);

  if (!fork || !xfs_inode_is_directory (inode))
    return;
  if (format == XFS_LOCAL) {
    read_short (self, fork, length);
    return;
  }
  g_array_set_size (self->extents, 0);
  if (!xfs_fork_walk (self->look, inode, XFS_FORK_DATA, &visit))
    self->look->broken = true;
  read_blocks (self);
}

void
xfs_names_find (XfsLook *self, Names *names)
{
  g_autoptr (GArray) extents = g_array_new (FALSE, FALSE, sizeof (XfsExtent));
  g_autofree guint8 *directory = g_malloc (self->geometry.inode);
  g_autofree guint8 *inode = g_malloc (self->geometry.inode);
  Visit visit = { self, names, 0, extents, inode };

  while (names_next (names, &visit.directory))
    if (xfs_inode_read (self, visit.directory, directory))
      read_directory (&visit, directory);
    else
      self->broken = true;
}
