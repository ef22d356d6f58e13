/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Inodes do not know their names: all directories are read, once.  Of each one,
 * its own name is kept, and of files, only what is asked for.
 */
#include <config.h>

#include <string.h>

#include "filesystem/ext.h"

#define DEPTH_MAX 2048
#define PATH_MAX_BYTES 65536

typedef struct {
  GHashTable *names;
  GHashTable *directories;      /* those that were read, or will be: of guint64 */
  GArray *left;                 /* of guint64: those that will be */
} Walk;

void
ext_name_free (ExtName *name)
{
  g_free (name->name);
  g_free (name);
}

static void
enter_directory (Walk *walk, guint64 inode)
{
  if (g_hash_table_add (walk->directories, g_memdup2 (&inode, sizeof inode)))
    g_array_append_val (walk->left, inode);
}

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

typedef struct {
  Walk *walk;
  ext2_filsys fs;
} Visit;

static int
visit_entry (ext2_ino_t directory, int kind G_GNUC_UNUSED,
             struct ext2_dir_entry *entry, int offset G_GNUC_UNUSED,
             int size G_GNUC_UNUSED, char *buffer G_GNUC_UNUSED, void *opaque)
{
  const Visit *visit = opaque;
  Walk *walk = visit->walk;
  const guint length = ext2fs_dirent_name_len (entry);
  guint64 inode = entry->inode;

  if ((length == 1 && entry->name[0] == '.')
      || (length == 2 && memcmp (entry->name, "..", 2) == 0)
      || inode > visit->fs->super->s_inodes_count)
    return 0;
  ExtName *known = g_hash_table_lookup (walk->names, &inode);
  const bool is_dir = is_directory (visit->fs, entry);
  if (!known && is_dir) {
    known = g_new0 (ExtName, 1);
    known->inode = inode;
    g_hash_table_insert (walk->names, &known->inode, known);
  }
  if (known && !known->name) {
    known->parent = directory;
    known->name = g_strndup (entry->name, length);
  }
  if (is_dir)
    enter_directory (walk, inode);
  return 0;
}

void
ext_names_find (ext2_filsys fs, GHashTable *names)
{
  g_autoptr (GHashTable) directories
    = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  g_autoptr (GArray) left = g_array_new (FALSE, FALSE, sizeof (guint64));
  Walk walk = { names, directories, left };
  Visit visit = { &walk, fs };

  enter_directory (&walk, EXT2_ROOT_INO);
  while (left->len > 0) {
    const guint64 inode = g_array_index (left, guint64, left->len - 1);
    g_array_set_size (left, left->len - 1);
    ext2fs_dir_iterate2 (fs, inode, 0, NULL, visit_entry, &visit);
  }
}

char *
ext_names_path (GHashTable *names, guint64 inode)
{
  g_autoptr (GPtrArray) pieces = g_ptr_array_new ();
  gsize length = 0;
  GString *path;

  if (inode == EXT2_ROOT_INO)
    return g_strdup ("/");
  while (inode != EXT2_ROOT_INO) {
    const ExtName *name = g_hash_table_lookup (names, &inode);
    if (!name || !name->name || pieces->len > DEPTH_MAX
        || (length += strlen (name->name) + 1) > PATH_MAX_BYTES)
      return NULL;
    g_ptr_array_add (pieces, name->name);
    inode = name->parent;
  }
  path = g_string_new (NULL);
  for (guint i = pieces->len; i > 0; i--) {
    g_string_append_c (path, '/');
    g_string_append (path, g_ptr_array_index (pieces, i - 1));
  }
  return g_string_free (path, FALSE);
}
