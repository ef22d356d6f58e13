/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <string.h>

#include "filesystem/xfs.h"

#define ON_REALTIME 1           /* a bit of the flags: its data are elsewhere */
#define BIG_TIME 0x8            /* a bit of the second flags */
#define BIG_TIME_BEGIN ((gint64) 1 << 31) /* seconds before the Epoch */

enum { KIND_MASK = 0170000, DIRECTORY = 0040000, SYMLINK = 0120000 };

static guint
mode_kind (const guint8 *inode)
{
  return number_be (inode + 2, 2) & KIND_MASK;
}

bool
xfs_inode_is_directory (const guint8 *inode)
{
  return mode_kind (inode) == DIRECTORY;
}

bool
xfs_inode_read (const XfsLook *self, guint64 number, guint8 *inode)
{
  const XfsGeometry *geometry = &self->geometry;
  const guint per_block = geometry->block_log - geometry->inode_log;
  const guint64 at = xfs_block_at (geometry, number >> per_block);

  return at != G_MAXUINT64
    && media_read (self->examination->media, inode, geometry->inode,
                   at + ((number & ((1U << per_block) - 1))
                         << geometry->inode_log), NULL)
    && memcmp (inode, "IN", 2) == 0;
}

static gint64
change_time (const guint8 *inode)
{
  if (inode[4] >= 3 && number_be (inode + 120, 8) & BIG_TIME)
    return (gint64) (number_be (inode + 48, 8) / 1000000000) - BIG_TIME_BEGIN;
  return (gint32) number_be (inode + 48, 4);
}

static guint
link_count (const guint8 *inode)
{
  return inode[4] == 1 ? number_be (inode + 6, 2) : number_be (inode + 16, 4);
}

static guint
owner_of (const XfsLook *self, guint64 number)
{
  const XfsGeometry *geometry = &self->geometry;

  for (guint i = 0; i < G_N_ELEMENTS (geometry->quota); i++)
    if (number == geometry->quota[i])
      return XFS_QUOTA;
  for (guint i = 0; i < G_N_ELEMENTS (geometry->reserved); i++)
    if (number == geometry->reserved[i])
      return XFS_RESERVED;
  return census_next (self->census);
}

typedef struct {
  XfsLook *look;
  guint owner, inner;
} Claims;

static void
claim (const XfsLook *self, guint owner, guint64 block, guint64 count)
{
  const guint64 at = xfs_block_at (&self->geometry, block);

  if (at != G_MAXUINT64)
    census_claim (self->census, owner, at, count << self->geometry.block_log);
}

static void
claim_extent (void *opaque, const XfsExtent *extent)
{
  const Claims *self = opaque;

  claim (self->look, self->owner, extent->block, extent->count);
}

static void
claim_inner (void *opaque, guint64 block)
{
  const Claims *self = opaque;

  claim (self->look, self->inner, block, 1);
}

static void
claim_fork (XfsLook *self, const guint8 *inode, XfsForkKind kind, guint owner,
            guint inner)
{
  Claims claims = { self, owner, inner };
  const XfsForkVisit visit = { &claims, claim_extent, claim_inner };

  if (!xfs_fork_walk (self, inode, kind, &visit))
    self->broken = true;
}

/* Its mode, its size or what is kept in the inode itself may have changed. */
static bool
has_changed_itself (const XfsLook *self, guint64 number, gint64 ctime)
{
  const XfsGeometry *geometry = &self->geometry;
  const guint per_block = geometry->block_log - geometry->inode_log;
  const guint64 at = xfs_block_at (geometry, number >> per_block)
    + ((number & ((1U << per_block) - 1)) << geometry->inode_log);
  const CensusSum nothing = { 0 };

  return self->examination->has_since
    && census_touches (self->census, at, geometry->inode)
    && examine_changed (self->examination, &nothing, 0, ctime) == CHANGED_YES;
}

void
xfs_inode_look (XfsLook *self, guint64 number, const guint8 *inode)
{
  const guint owner = owner_of (self, number);
  const NamedFile file = {
    .inode = number,
    .kind = mode_kind (inode) == DIRECTORY ? LINE_DIRECTORY
      : mode_kind (inode) == SYMLINK ? LINE_SYMLINK : LINE_FILE,
    .ctime = change_time (inode),
    .links = link_count (inode),
  };

  claim_fork (self, inode, XFS_FORK_ATTRIBUTES, XFS_ATTRIBUTES, XFS_ATTRIBUTES);
  if (number_be (inode + 90, 2) & ON_REALTIME)
    self->elsewhere = true;
  else
    claim_fork (self, inode, XFS_FORK_DATA, owner, XFS_BLOCK_MAPS);
  if (owner < XFS_CLASSES)
    return;
  if (census_next (self->census) == owner
      && has_changed_itself (self, number, file.ctime))
    census_add (self->census);
  if (census_next (self->census) > owner)
    g_array_append_val (self->files, file);
}
