/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Paths of inodes.  Inodes do not know their names: so all directories are read,
 * once.  Of each one, its own name is kept, and of files, only of those that are
 * asked for.
 */
#pragma once

#include "filesystem/examine.h"

typedef struct Names Names;

/* root: the inode of the directory at the top. */
Names *names_new (guint64 root);
void names_free (Names *names);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Names, names_free)

/* The path of that one will be asked for. */
void names_want (Names *names, guint64 inode);

/* The directory that is to be read next.  False: all have been. */
bool names_next (Names *names, guint64 *directory);

/* That one has an entry, which is no "." or "..". */
void names_enter (Names *names, guint64 directory, guint64 inode,
                  const char *name, gsize length, bool is_directory);

/* A file of which something is dirty, or that has changed itself. */
typedef struct {
  guint64 inode;
  LineKind kind;
  gint64 ctime;                 /* seconds since the Epoch */
  guint links;
} NamedFile;

/* Tell of all files (of NamedFile), which are the owners from first on, in a file
 * system of such blocks.  names: complete.
 */
void names_tell (const Names *names, Examination *examination,
                 const Census *census, guint first, const GArray *files,
                 guint block);
