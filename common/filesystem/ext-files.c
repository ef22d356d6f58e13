/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Which blocks are which inode's: all inodes are looked at, since one whose bytes
 * have changed need not have changed itself.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "filesystem/ext-internal.h"

#define ATTRIBUTES_INODE 0x00200000

typedef struct {
  ExtLook *look;
  guint owner;
  guint64 start, count;         /* blocks that follow one another, not claimed
                                 * yet */
} Blocks;

static void
flush (Blocks *blocks)
{
  /* Of a cluster (bigalloc), all is the file's. */
  const guint64 mask = EXT2FS_CLUSTER_MASK (blocks->look->fs);
  const guint64 start = blocks->start & ~mask;

  if (blocks->count > 0)
    ext_claim_blocks (blocks->look, blocks->owner, start,
                      ((blocks->start + blocks->count + mask) & ~mask) - start);
  blocks->count = 0;
}

static int
visit_block (ext2_filsys fs G_GNUC_UNUSED, blk64_t *block, e2_blkcnt_t index,
             blk64_t from G_GNUC_UNUSED, int offset G_GNUC_UNUSED, void *opaque)
{
  Blocks *blocks = opaque;

  if (index < 0 && blocks->owner >= EXT_CLASSES)
    ext_claim_blocks (blocks->look, EXT_BLOCK_MAPS, *block, 1);
  else if (blocks->count > 0 && blocks->start + blocks->count == *block)
    blocks->count++;
  else {
    flush (blocks);
    blocks->start = *block;
    blocks->count = 1;
  }
  return 0;
}

/* An owner of a file's own, or of a kind. */
static guint
owner_of (const ExtLook *self, ext2_ino_t inode, const struct ext2_inode *data)
{
  const struct ext2_super_block *super = self->fs->super;

  if (data->i_flags & ATTRIBUTES_INODE)
    return EXT_ATTRIBUTES;
  if (inode == super->s_journal_inum)
    return EXT_JOURNAL;
  if (inode == EXT4_USR_QUOTA_INO || inode == EXT4_GRP_QUOTA_INO
      || (super->s_prj_quota_inum && inode == super->s_prj_quota_inum))
    return EXT_QUOTA;
  if (inode == EXT2_RESIZE_INO)
    return EXT_GROUPS;
#ifdef EXT4_FEATURE_COMPAT_ORPHAN_FILE /* since e2fsprogs 1.47 */
  if (super->s_orphan_file_inum && inode == super->s_orphan_file_inum)
    return EXT_ORPHANS;
#endif
  if (inode != EXT2_ROOT_INO && inode < EXT2_FIRST_INODE (super))
    return EXT_RESERVED;
  return census_next (self->census);
}

/* Is the place of the inode itself dirty, or the journal's copy of it? */
static bool
is_dirty_itself (const ExtLook *self, ext2_ino_t inode)
{
  ext2_filsys fs = self->fs;
  const guint64 size = EXT2_INODE_SIZE (fs->super);
  const guint64 index = (inode - 1) % fs->super->s_inodes_per_group;
  const guint64 table
    = ext2fs_inode_table_loc (fs, ext2fs_group_of_ino (fs, inode));
  const guint64 start = table * fs->blocksize + index * size;

  if (census_touches (self->census, start, size))
    return true;
  if (!self->reader->replayed)
    return false;
  const ExtReplayed key = { .block = start / fs->blocksize };
  const ExtReplayed *replayed
    = g_hash_table_lookup (self->reader->replayed, &key);
  return replayed && census_touches (self->census,
                                    replayed->from * fs->blocksize
                                    + start % fs->blocksize, size);
}

/* With the two bits by which time goes on after 2038. */
static gint64
change_time (const ExtLook *self, const struct ext2_inode_large *inode)
{
  gint64 time = (gint32) inode->i_ctime;

  if (EXT2_INODE_SIZE (self->fs->super) > EXT2_GOOD_OLD_INODE_SIZE
      && inode->i_extra_isize >= G_STRUCT_OFFSET (struct ext2_inode_large,
                                                  i_mtime_extra)
         - EXT2_GOOD_OLD_INODE_SIZE)
    time += (gint64) (inode->i_ctime_extra & 3) << 32;
  return time;
}

static void
add_file (ExtLook *self, ext2_ino_t inode, const struct ext2_inode_large *large)
{
  const NamedFile file = {
    .inode = inode,
    .kind = LINUX_S_ISDIR (large->i_mode) ? LINE_DIRECTORY
      : LINUX_S_ISLNK (large->i_mode) ? LINE_SYMLINK : LINE_FILE,
    .ctime = change_time (self, large),
    .links = large->i_links_count,
  };

  g_array_append_val (self->files, file);
}

/* False: some of its blocks are not known. */
static bool
look_at (ExtLook *self, ext2_ino_t inode, struct ext2_inode_large *large)
{
  struct ext2_inode *data = (struct ext2_inode *) large;
  const Examination *examination = self->examination;
  Blocks blocks = { .look = self, .owner = owner_of (self, inode, data) };
  const guint64 attributes = ext2fs_file_acl_block (self->fs, data);
  bool ok = true;

  if (attributes)
    ext_claim_blocks (self, EXT_ATTRIBUTES, attributes, 1);
  if (ext2fs_inode_has_valid_blocks2 (self->fs, data)) {
    ok = ext2fs_block_iterate3 (self->fs, inode, BLOCK_FLAG_READ_ONLY, NULL,
                                visit_block, &blocks) == 0;
    flush (&blocks);
  }
  if (blocks.owner < EXT_CLASSES)
    return ok;
  /* Its mode, its size or what is kept in the inode itself may have changed. */
  if (census_next (self->census) == blocks.owner && examination->has_since
      && is_dirty_itself (self, inode)) {
    const CensusSum nothing = { 0 };
    if (examine_changed (examination, &nothing, 0, change_time (self, large))
        == CHANGED_YES)
      census_add (self->census);
  }
  if (census_next (self->census) > blocks.owner)
    add_file (self, inode, large);
  return ok;
}

/* The bitmap decides: of a file that was removed, the inode stays as it was. */
static bool
is_used (const ExtLook *self, ext2_ino_t inode,
         const struct ext2_inode_large *data)
{
  if (inode < EXT2_FIRST_INODE (self->fs->super))
    return true;
  return self->fs->inode_map
    ? ext2fs_test_inode_bitmap2 (self->fs->inode_map, inode) != 0
    : data->i_links_count > 0;
}

bool
ext_files_find (ExtLook *self, GError **error)
{
  const gsize size = MAX (EXT2_INODE_SIZE (self->fs->super),
                          sizeof (struct ext2_inode_large));
  g_autofree struct ext2_inode_large *inode = g_malloc0 (size);
  ext2_inode_scan scan;
  ext2_ino_t number;
  errcode_t failure;
  bool broken = false;

  if (ext2fs_open_inode_scan (self->fs, 0, &scan) != 0)
    return error_set (error, EIO, "ext4 whose inodes cannot be read");
  do {
    failure = ext2fs_get_next_inode_full (scan, &number,
                                          (struct ext2_inode *) inode, size);
    if (failure == EXT2_ET_BAD_BLOCK_IN_INODE_TABLE)
      broken = true;
    else if (!failure && number && is_used (self, number, inode))
      broken |= !look_at (self, number, inode);
  } while (failure == EXT2_ET_BAD_BLOCK_IN_INODE_TABLE
           || (!failure && number));
  ext2fs_close_inode_scan (scan);
  if (broken || failure)
    self->examination->note (self->examination, "some of its inodes are "
                             "broken: files may be missing");
  return true;
}
