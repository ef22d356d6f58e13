/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "filesystem/xfs.h"

static const struct {
  LineKind kind;
  const char *what;
} classes[XFS_CLASSES] = {
  [XFS_HEADERS] = { LINE_METADATA, "superblocks and group headers" },
  [XFS_FREE_TREES] = { LINE_METADATA, "trees of free space" },
  [XFS_INODE_TREES] = { LINE_METADATA, "trees of inodes" },
  [XFS_OTHER_TREES] = { LINE_METADATA, "trees of owners and shared blocks" },
  [XFS_FREE_LISTS] = { LINE_METADATA, "blocks kept for trees" },
  [XFS_INODES] = { LINE_METADATA, "inodes" },
  [XFS_BLOCK_MAPS] = { LINE_METADATA, "extent trees" },
  [XFS_ATTRIBUTES] = { LINE_METADATA, "extended attributes" },
  [XFS_QUOTA] = { LINE_METADATA, "quota" },
  [XFS_RESERVED] = { LINE_METADATA, "reserved inodes" },
  [XFS_LOG] = { LINE_JOURNAL, "log" },
  [XFS_FREE] = { LINE_FREE, "free space" },
};

/* Features that change where things lie.  Others are none of a reader's. */
#define INCOMPAT_KNOWN 0xff     /* up to parent pointers */
#define VERSION_2_TYPES 0x200
#define INCOMPAT_TYPES 0x1

guint64
xfs_block_at (const XfsGeometry *geometry, guint64 block)
{
  const guint64 group = block >> geometry->group_log;
  const guint64 within = block & (((guint64) 1 << geometry->group_log) - 1);

  if (group >= geometry->groups || within >= geometry->group_blocks
      || group * geometry->group_blocks + within >= geometry->blocks)
    return G_MAXUINT64;
  return (group * geometry->group_blocks + within) << geometry->block_log;
}

static bool
is_power (guint64 number, guint log)
{
  return log < 32 && number == (guint64) 1 << log;
}

static bool
check (const XfsGeometry *geometry)
{
  return is_power (geometry->block, geometry->block_log)
    && geometry->block >= 512 && geometry->block <= 65536
    && geometry->sector >= 512 && geometry->sector <= geometry->block
    && is_power (geometry->inode, geometry->inode_log)
    && geometry->inode >= 256 && geometry->inode <= geometry->block
    && geometry->group_blocks > 0 && geometry->groups > 0
    && geometry->group_log < 32
    && geometry->group_blocks <= (guint64) 1 << geometry->group_log
    && geometry->blocks <= (guint64) geometry->groups * geometry->group_blocks
    && geometry->blocks > (guint64) (geometry->groups - 1)
       * geometry->group_blocks
    && geometry->directory_block > 0 && geometry->directory_block <= 65536;
}

static bool
read_super (XfsLook *self, GError **error)
{
  XfsGeometry *geometry = &self->geometry;
  guint8 super[512];

  if (!media_read (self->examination->media, super, sizeof super, 0, error))
    return (error && *error) ? false : error_set (error, EIO, "XFS cut short");
  const guint version = number_be (super + 100, 2) & 0xf;
  const guint log = super[120] + super[192];
  *geometry = (XfsGeometry) {
    .blocks = number_be (super + 8, 8), .root = number_be (super + 56, 8),
    .quota = { number_be (super + 160, 8), number_be (super + 168, 8),
               version == 5 ? number_be (super + 232, 8) : 0 },
    .reserved = { number_be (super + 64, 8), number_be (super + 72, 8) },
    .log_start = number_be (super + 48, 8),
    .log_blocks = number_be (super + 96, 4),
    .block = number_be (super + 4, 4), .sector = number_be (super + 102, 2),
    .inode = number_be (super + 104, 2), .block_log = super[120],
    .inode_log = super[122], .group_log = super[124],
    .group_blocks = number_be (super + 84, 4),
    .groups = number_be (super + 88, 4),
    .directory_block = log < 17 ? 1U << log : 0,
    .is_v5 = version == 5,
    .has_types = version == 5 ? number_be (super + 216, 4) & INCOMPAT_TYPES
      : number_be (super + 200, 4) & VERSION_2_TYPES,
  };
  if (version != 5 && version != 4)
    return error_set (error, ENOTSUP, "XFS of version %u", version);
  if (version == 5 && number_be (super + 216, 4) & ~(guint64) INCOMPAT_KNOWN)
    return error_set (error, ENOTSUP, "XFS with a feature that is not known");
  return check (geometry)
    || error_set (error, EIO, "XFS whose superblock is broken");
}

void
xfs_claim (const XfsLook *self, guint owner, const XfsGroup *group,
           guint64 block, guint64 count)
{
  const guint64 most = block < group->blocks ? group->blocks - block : 0;

  census_claim (self->census, owner,
               group->start + (block << self->geometry.block_log),
               MIN (count, most) << self->geometry.block_log);
}

static void
visit_free (XfsLook *self, const XfsGroup *group, const guint8 *record)
{
  xfs_claim (self, XFS_FREE, group, number_be (record, 4),
             number_be (record + 4, 4));
}

/* 64 inodes, of which some may not be there (sparse chunks). */
static void
visit_inodes (XfsLook *self, const XfsGroup *group, const guint8 *record)
{
  const XfsGeometry *geometry = &self->geometry;
  const guint32 first = number_be (record, 4);
  const guint64 free_mask = number_be (record + 8, 8);
  const guint per_block_log = geometry->block_log - geometry->inode_log;
  /* Without sparse chunks, these bytes are the upper ones of a small number. */
  const guint holes = number_be (record + 4, 2);
  g_autofree guint8 *inode = g_malloc (geometry->inode);

  for (guint i = 0; i < 64; i++) {
    const guint64 within = (guint64) first + i;
    const guint64 offset = within << geometry->inode_log;
    if (holes & 1U << i / 4 || within >> per_block_log >= group->blocks)
      continue;
    census_claim (self->census, XFS_INODES, group->start + offset,
                 geometry->inode);
    if (free_mask & (guint64) 1 << i)
      continue;
    const guint64 number = (guint64) group->group
      << (geometry->group_log + per_block_log) | within;
    if (media_read (self->examination->media, inode, geometry->inode,
                    group->start + offset, NULL)
        && memcmp (inode, "IN", 2) == 0)
      xfs_inode_look (self, number, inode);
    else
      self->broken = true;
  }
}

static void
walk_free (XfsLook *self, const XfsGroup *group, const guint8 *header)
{
  const guint list = self->geometry.is_v5 ? 36 : 0;
  const guint entries = (self->geometry.sector - list) / 4;
  const guint64 at = group->start + 3 * (guint64) self->geometry.sector;
  guint first = number_be (header + 40, 4);
  g_autofree guint8 *sector = g_malloc (self->geometry.sector);

  xfs_tree_walk (self, group, XFS_FREE_TREES, number_be (header + 16, 4),
                 number_be (header + 28, 4), 8, 8, visit_free);
  xfs_tree_walk (self, group, XFS_FREE_TREES, number_be (header + 20, 4),
                 number_be (header + 32, 4), 8, 8, NULL);
  if (self->geometry.is_v5) {
    /* None, if it has no such tree. */
    if (number_be (header + 24, 4))
      xfs_tree_walk (self, group, XFS_OTHER_TREES, number_be (header + 24, 4),
                     number_be (header + 36, 4), 24, 40, NULL);
    if (number_be (header + 88, 4))
      xfs_tree_walk (self, group, XFS_OTHER_TREES, number_be (header + 88, 4),
                     number_be (header + 92, 4), 12, 4, NULL);
  }
  if (!media_read (self->examination->media, sector, self->geometry.sector, at,
                   NULL))
    return;
  for (guint n = MIN (number_be (header + 48, 4), entries); n > 0; n--) {
    first = first >= entries ? 0 : first;
    xfs_claim (self, XFS_FREE_LISTS, group,
               number_be (sector + list + 4 * first++, 4), 1);
  }
}

static void
look_at_group (XfsLook *self, const XfsGroup *group)
{
  const XfsGeometry *geometry = &self->geometry;
  Media *media = self->examination->media;
  g_autofree guint8 *header = g_malloc (geometry->sector);

  xfs_claim (self, XFS_HEADERS, group, 0,
             (4 * geometry->sector + geometry->block - 1) / geometry->block);
  if (media_read (media, header, geometry->sector,
                  group->start + geometry->sector, NULL)
      && memcmp (header, "XAGF", 4) == 0)
    walk_free (self, group, header);
  else
    self->broken = true;
  if (!media_read (media, header, geometry->sector,
                   group->start + 2 * (guint64) geometry->sector, NULL)
      || memcmp (header, "XAGI", 4) != 0) {
    self->broken = true;
    return;
  }
  xfs_tree_walk (self, group, XFS_INODE_TREES, number_be (header + 20, 4),
                 number_be (header + 24, 4), 16, 4, visit_inodes);
  if (geometry->is_v5 && number_be (header + 328, 4))
    xfs_tree_walk (self, group, XFS_INODE_TREES, number_be (header + 328, 4),
                   number_be (header + 332, 4), 16, 4, NULL);
}

static void
tell_rest (const XfsLook *self)
{
  const guint64 size = self->geometry.blocks << self->geometry.block_log;
  g_autoptr (GArray) rest = census_rest (self->census);
  guint64 behind = 0, used = 0;

  for (guint i = 0; i < rest->len; i++) {
    const Run run = g_array_index (rest, Run, i);
    used += MIN (run.end, size) - MIN (run.start, size);
    behind += MAX (run.end, size) - MAX (run.start, size);
  }
  examine_tell (self->examination, LINE_FREE, "behind the file system", behind);
  examine_tell (self->examination, LINE_UNKNOWN,
                "blocks in use that no file has", used);
}

static bool
tell_all (XfsLook *self, GError **error)
{
  g_autoptr (Names) names = names_new (self->geometry.root);

  census_count (self->census);
  if (census_overflowed (self->census))
    return error_set (error, EFBIG, "too much has changed to tell of it");
  for (guint i = 0; i < XFS_CLASSES; i++)
    examine_tell (self->examination, classes[i].kind, classes[i].what,
                  census_sum (self->census, i).bytes);
  for (guint i = 0; i < self->files->len; i++)
    names_want (names, g_array_index (self->files, NamedFile, i).inode);
  if (self->files->len > 0)
    xfs_names_find (self, names);
  names_tell (names, self->examination, self->census, XFS_CLASSES, self->files,
              self->geometry.block);
  tell_rest (self);
  if (!xfs_log_is_empty (self))
    self->examination->note (self->examination, "its log is not empty, and is "
                             "not read: what was changed last may be missing");
  if (self->elsewhere)
    self->examination->note (self->examination, "files of it are on a realtime "
                             "device, at which nobody looks");
  if (self->broken)
    self->examination->note (self->examination, "some of its metadata is "
                             "broken: files may be missing");
  return true;
}

static void
look_at_all (XfsLook *self)
{
  const XfsGeometry *geometry = &self->geometry;
  const guint64 log = xfs_block_at (geometry, geometry->log_start);

  for (guint i = 0; i < XFS_CLASSES; i++)
    census_add (self->census);
  for (guint32 i = 0; i < geometry->groups; i++) {
    const guint64 first = (guint64) i * geometry->group_blocks;
    const XfsGroup group = {
      i, first << geometry->block_log,
      MIN (geometry->blocks - first, geometry->group_blocks)
    };
    look_at_group (self, &group);
  }
  if (geometry->log_start && log != G_MAXUINT64)
    census_claim (self->census, XFS_LOG, log,
                 (guint64) geometry->log_blocks << geometry->block_log);
}

bool
xfs_examine (Examination *self, GError **error)
{
  XfsLook look = { .examination = self };

  if (!read_super (&look, error))
    return false;
  look.census = census_new (self->dirty, self->dirty_count, self->granule,
                          self->phase);
  look.files = g_array_new (FALSE, FALSE, sizeof (NamedFile));
  look_at_all (&look);
  const bool ok = tell_all (&look, error);
  g_array_unref (look.files);
  census_free (look.census);
  return ok;
}
