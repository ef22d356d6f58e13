/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <string.h>

#include "filesystem/ext.h"

typedef struct {
  Names *names;
  ext2_filsys fs;
} Visit;

/* An entry's kind is known without its inode, where file systems keep it there;
 * where not, each must be asked.
 */
static bool
is_directory (ext2_filsys fs, const struct ext2_dir_entry *entry)
{
  struct ext2_inode inode;

  if (ext2fs_has_feature_filetype (fs->super))
    return ext2fs_dirent_file_type (entry) == EXT2_FT_DIR;
  return ext2fs_read_inode (fs, entry->inode, &inode) == 0
    && LINUX_S_ISDIR (inode.i_mode);
}

static int
visit_entry (ext2_ino_t directory, int kind G_GNUC_UNUSED,
             struct ext2_dir_entry *entry, int offset G_GNUC_UNUSED,
             int size G_GNUC_UNUSED, char *buffer G_GNUC_UNUSED, void *opaque)
{
  const Visit *visit = opaque;
  const guint length = ext2fs_dirent_name_len (entry);

  if ((length == 1 && entry->name[0] == '.')
      || (length == 2 && memcmp (entry->name, "..", 2) == 0)
      || entry->inode > visit->fs->super->s_inodes_count)
    return 0;
  names_enter (visit->names, directory, entry->inode, entry->name, length,
               is_directory (visit->fs, entry));
  return 0;
}

void
ext_names_find (ext2_filsys fs, Names *names)
{
  Visit visit = { names, fs };
  guint64 directory;

  while (names_next (names, &directory))
    ext2fs_dir_iterate2 (fs, directory, 0, NULL, visit_entry, &visit);
}
