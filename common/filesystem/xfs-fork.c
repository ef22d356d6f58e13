/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Which blocks an inode has, in its two forks: one for its data, one for its
 * extended attributes.
 */
#include <config.h>

#include <string.h>

#include "filesystem/xfs.h"

#define LEVELS_MAX 12
#define LARGE_COUNTS 0x10       /* a bit of the second flags */

typedef struct {
  const XfsLook *look;
  const XfsForkVisit *visit;
  guint64 left;                 /* blocks of the btree that there may still be */
} Walk;

static guint
core_size (const guint8 *inode)
{
  return inode[4] >= 3 ? 176 : 100;
}

const guint8 *
xfs_fork (const XfsLook *self, const guint8 *inode, XfsForkKind kind,
          guint *length, guint *format)
{
  const guint core = core_size (inode);
  const guint split = inode[82] * 8;
  const guint all = self->geometry.inode - core;

  if (split >= all || (kind == XFS_FORK_ATTRIBUTES && split == 0))
    return NULL;
  *format = kind == XFS_FORK_DATA ? inode[5] : inode[83];
  *length = kind == XFS_FORK_ATTRIBUTES ? all - split : split ? split : all;
  return inode + core + (kind == XFS_FORK_ATTRIBUTES ? split : 0);
}

static guint64
extent_count (const guint8 *inode, XfsForkKind kind)
{
  const bool large = inode[4] >= 3 && number_be (inode + 120, 8) & LARGE_COUNTS;

  if (kind == XFS_FORK_DATA)
    return large ? number_be (inode + 24, 8) : number_be (inode + 76, 4);
  return large ? number_be (inode + 76, 4) : number_be (inode + 80, 2);
}

static void
visit_extent (const Walk *self, const guint8 *record)
{
  const guint64 high = number_be (record, 8), low = number_be (record + 8, 8);
  const XfsExtent extent = {
    .offset = high >> 9 & (((guint64) 1 << 54) - 1),
    .block = (high & 0x1ff) << 43 | low >> 21,
    .count = low & 0x1fffff,
  };

  self->visit->extent (self->visit->opaque, &extent);
}

static bool
walk (Walk *self, guint64 number, guint level)
{
  const guint size = self->look->geometry.block;
  const guint header = self->look->geometry.is_v5 ? 72 : 24;
  const guint64 at = xfs_block_at (&self->look->geometry, number);
  g_autofree guint8 *block = g_malloc (size);
  const guint most = (size - header) / 16;
  bool ok = true;

  if (at == G_MAXUINT64 || self->left == 0
      || !media_read (self->look->examination->media, block, size, at, NULL)
      || number_be (block + 4, 2) != level)
    return false;
  self->left--;
  if (self->visit->inner)
    self->visit->inner (self->visit->opaque, number);
  const guint count = MIN (number_be (block + 6, 2), most);
  for (guint i = 0; i < count; i++) {
    const guint8 *record = block + header + 16 * i;
    if (level == 0)
      visit_extent (self, record);
    else if (!walk (self, number_be (block + header + 8 * most + 8 * i, 8),
                    level - 1))
      ok = false;
  }
  return ok;
}

/* The root of a btree is in the inode. */
static bool
walk_root (Walk *self, const guint8 *fork, guint length)
{
  const guint most = length >= 4 ? (length - 4) / 16 : 0;
  const guint levels = most ? number_be (fork, 2) : 0;
  bool ok = levels > 0 && levels <= LEVELS_MAX;

  if (!ok)
    return false;
  const guint count = MIN (number_be (fork + 2, 2), most);
  for (guint i = 0; i < count; i++)
    if (!walk (self, number_be (fork + 4 + 8 * most + 8 * i, 8), levels - 1))
      ok = false;
  return ok;
}

bool
xfs_fork_walk (const XfsLook *self, const guint8 *inode, XfsForkKind kind,
               const XfsForkVisit *visit)
{
  Walk state = { self, visit, self->geometry.blocks };
  guint length, format;
  const guint8 *fork = xfs_fork (self, inode, kind, &length, &format);

  if (!fork)
    return kind == XFS_FORK_ATTRIBUTES;
  if (format == XFS_BTREE)
    return walk_root (&state, fork, length);
  if (format != XFS_EXTENTS)
    return true;
  const guint64 count = extent_count (inode, kind);
  for (guint64 i = 0; i < MIN (count, length / 16); i++)
    visit_extent (&state, fork + 16 * i);
  return count <= length / 16;
}
