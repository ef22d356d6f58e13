/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "filesystem/examine.h"

#ifdef HAVE_EXT2FS
#include "filesystem/ext-internal.h"

static const struct {
  LineKind kind;
  const char *what;
} classes[EXT_CLASSES] = {
  [EXT_SUPER] = { LINE_METADATA, "superblock" },
  [EXT_GROUPS] = { LINE_METADATA, "group descriptors" },
  [EXT_BITMAPS] = { LINE_METADATA, "bitmaps of blocks and inodes" },
  [EXT_INODES] = { LINE_METADATA, "inode tables" },
  [EXT_BLOCK_MAPS] = { LINE_METADATA, "extent trees and indirect blocks" },
  [EXT_ATTRIBUTES] = { LINE_METADATA, "extended attributes" },
  [EXT_QUOTA] = { LINE_METADATA, "quota" },
  [EXT_RESERVED] = { LINE_METADATA, "reserved inodes" },
  [EXT_ORPHANS] = { LINE_METADATA, "list of deleted files in use" },
  [EXT_JOURNAL] = { LINE_JOURNAL, "journal" },
};

void
ext_claim_blocks (const ExtLook *self, guint owner, guint64 block,
                  guint64 count)
{
  census_claim (self->census, owner, block * self->fs->blocksize,
               count * self->fs->blocksize);
}

static void
claim_group (const ExtLook *self, dgrp_t group)
{
  ext2_filsys fs = self->fs;
  blk64_t super = 0, old = 0, new = 0;
  blk_t used = 0;

  ext2fs_super_and_bgd_loc2 (fs, group, &super, &old, &new, &used);
  if (super || group == 0)
    ext_claim_blocks (self, EXT_SUPER, super, 1);
  if (old)
    ext_claim_blocks (self, EXT_GROUPS, old, fs->desc_blocks);
  if (new)
    ext_claim_blocks (self, EXT_GROUPS, new, 1);
  ext_claim_blocks (self, EXT_BITMAPS, ext2fs_block_bitmap_loc (fs, group), 1);
  ext_claim_blocks (self, EXT_BITMAPS, ext2fs_inode_bitmap_loc (fs, group), 1);
  ext_claim_blocks (self, EXT_INODES, ext2fs_inode_table_loc (fs, group),
                    fs->inode_blocks_per_group);
}

static void
claim_metadata (const ExtLook *self)
{
  for (guint i = 0; i < EXT_CLASSES; i++)
    census_add (self->census);
  /* The first bytes are a boot loader's. */
  census_claim (self->census, EXT_SUPER, 0, 2048);
  for (dgrp_t group = 0; group < self->fs->group_desc_count; group++)
    claim_group (self, group);
  if (ext2fs_has_feature_mmp (self->fs->super))
    ext_claim_blocks (self, EXT_SUPER, self->fs->super->s_mmp_block, 1);
}

/* What no file has is free, if the bitmap says so. */
static void
tell_rest (const ExtLook *self)
{
  const guint block = self->fs->blocksize;
  const guint64 count = ext2fs_blocks_count (self->fs->super);
  g_autoptr (GArray) rest = census_rest (self->census);
  guint64 free_bytes = 0, used = 0, behind = 0;

  for (guint i = 0; i < rest->len; i++) {
    const Run run = g_array_index (rest, Run, i);
    for (guint64 at = run.start, end; at < run.end; at = end) {
      const guint64 number = at / block;
      end = MIN (run.end, (number + 1) * block);
      if (number >= count)
        behind += end - at;
      else if (self->fs->block_map
               && number >= self->fs->super->s_first_data_block
               && !ext2fs_test_block_bitmap2 (self->fs->block_map, number))
        free_bytes += end - at;
      else
        used += end - at;
    }
  }
  examine_tell (self->examination, LINE_FREE, "free space", free_bytes);
  examine_tell (self->examination, LINE_FREE, "behind the file system", behind);
  if (EXT2FS_CLUSTER_RATIO (self->fs) > 1)
    examine_tell (self->examination, LINE_METADATA,
                  "clusters that are not full", used);
  else
    examine_tell (self->examination, LINE_UNKNOWN,
                  self->fs->block_map ? "blocks in use that no file has"
                  : "free space, or blocks in use that no file has", used);
}

static void
tell_files (const ExtLook *self)
{
  g_autoptr (Names) names = names_new (EXT2_ROOT_INO);

  for (guint i = 0; i < self->files->len; i++)
    names_want (names, g_array_index (self->files, NamedFile, i).inode);
  if (self->files->len > 0)
    ext_names_find (self->fs, names);
  names_tell (names, self->examination, self->census, EXT_CLASSES, self->files,
              self->fs->blocksize);
}

static bool
tell_all (const ExtLook *self, GError **error)
{
  census_count (self->census);
  if (census_overflowed (self->census))
    return error_set (error, EFBIG, "too much has changed to tell of it");
  for (guint i = 0; i < EXT_CLASSES; i++)
    examine_tell (self->examination, classes[i].kind, classes[i].what,
                  census_sum (self->census, i).bytes);
  tell_files (self);
  tell_rest (self);
  return true;
}

static ext2_filsys
open_fs (ExtReader *reader, GError **error)
{
  ext2_filsys fs = NULL;
  const errcode_t failure = ext_reader_open (reader, &fs);

  if (!failure)
    return fs;
  if (failure == EXT2_ET_UNSUPP_FEATURE || failure == EXT2_ET_RO_UNSUPP_FEATURE)
    error_set (error, ENOTSUP, "ext4 with a feature that libext2fs does not "
               "know");
  else
    error_set (error, EIO, "ext4 that is broken (%s)", error_message (failure));
  return NULL;
}

/* With what the journal has, if it is needed. */
static ext2_filsys
open_replayed (Examination *examination, ExtReader *reader, GError **error)
{
  const char *note = NULL;
  ext2_filsys fs = open_fs (reader, error);

  if (!fs)
    return NULL;
  const bool needed = ext2fs_has_feature_journal_needs_recovery (fs->super);
  const bool replayed = needed && ext_journal_replay (fs, reader, &note);
  if (note)
    examination->note (examination, note);
  if (!replayed)
    return fs;
  ext2fs_free (fs);
  return open_fs (reader, error);
}

bool
ext_examine (Examination *self, GError **error)
{
  ExtReader reader = { .media = self->media };
  ExtLook look = { .examination = self, .reader = &reader };
  bool ok = false;

  initialize_ext2_error_table ();
  look.fs = open_replayed (self, &reader, error);
  if (look.fs) {
    look.census = census_new (self->dirty, self->dirty_count, self->granule,
                            self->phase);
    look.files = g_array_new (FALSE, FALSE, sizeof (NamedFile));
    if (ext2fs_read_bitmaps (look.fs) != 0)
      self->note (self, "its bitmaps are broken: what is free is not known");
    claim_metadata (&look);
    ok = ext_files_find (&look, error) && tell_all (&look, error);
    g_array_unref (look.files);
    census_free (look.census);
  }
  if (look.fs)
    ext2fs_free (look.fs);
  ext_reader_clear (&reader);
  return ok;
}

#else

bool
ext_examine (Examination *self G_GNUC_UNUSED, GError **error)
{
  return error_set (error, ENOSYS, "ext4, for which this program was built "
                    "without libext2fs");
}
#endif
