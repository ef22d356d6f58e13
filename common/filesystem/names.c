/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <string.h>

#include "filesystem/names.h"

#define DEPTH_MAX 2048
#define LENGTH_MAX 65536

/* So many of a file's names are kept. */
#define LINKS_MAX 64

typedef struct {
  guint64 parent;
  char *name;
} Link;

typedef struct {
  guint64 inode;
  GArray *links;                /* of Link; NULL: none is known yet */
  bool seen;                    /* as a directory */
} Name;

struct Names {
  guint64 root;
  GHashTable *known;            /* of Name, by inode */
  GArray *left;                 /* of guint64: directories to read */
};

static void
name_free (void *data)
{
  Name *name = data;

  g_clear_pointer (&name->links, g_array_unref);
  g_free (name);
}

static void
clear_link (void *link)
{
  g_free (((Link *) link)->name);
}

static Name *
find (Names *self, guint64 inode)
{
  Name *name = g_hash_table_lookup (self->known, &inode);

  if (!name) {
    name = g_new0 (Name, 1);
    name->inode = inode;
    g_hash_table_insert (self->known, &name->inode, name);
  }
  return name;
}

Names *
names_new (guint64 root)
{
  Names *self = g_new0 (Names, 1);

  self->root = root;
  self->known = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL,
                                       name_free);
  self->left = g_array_new (FALSE, FALSE, sizeof (guint64));
  g_array_append_val (self->left, root);
  find (self, root)->seen = true;
  return self;
}

void
names_free (Names *self)
{
  if (!self)
    return;
  g_hash_table_unref (self->known);
  g_array_unref (self->left);
  g_free (self);
}

void
names_want (Names *self, guint64 inode)
{
  find (self, inode);
}

bool
names_next (Names *self, guint64 *directory)
{
  if (self->left->len == 0)
    return false;
  *directory = g_array_index (self->left, guint64, self->left->len - 1);
  g_array_set_size (self->left, self->left->len - 1);
  return true;
}

/* A directory that has two names, in a broken file system, is read once. */
void
names_enter (Names *self, guint64 directory, guint64 inode, const char *name,
             gsize length, bool is_directory)
{
  Name *known = is_directory ? find (self, inode)
    : g_hash_table_lookup (self->known, &inode);

  if (!known)
    return;
  if (!known->links) {
    known->links = g_array_new (FALSE, FALSE, sizeof (Link));
    g_array_set_clear_func (known->links, clear_link);
  }
  if (known->links->len < (is_directory ? 1 : LINKS_MAX)) {
    const Link link = { directory, g_strndup (name, length) };
    g_array_append_val (known->links, link);
  }
  if (is_directory && !known->seen) {
    known->seen = true;
    g_array_append_val (self->left, inode);
  }
}

static const Link *
first_link (const Names *self, guint64 inode)
{
  const Name *name = g_hash_table_lookup (self->known, &inode);

  return name && name->links ? &g_array_index (name->links, Link, 0) : NULL;
}

/* The path of that name.  NULL: it does not lead to the root. */
static char *
path_of (const Names *self, const Link *link)
{
  g_autoptr (GPtrArray) pieces = g_ptr_array_new ();
  gsize length = 0;
  GString *path;

  for (;; link = first_link (self, link->parent)) {
    if (!link || pieces->len > DEPTH_MAX
        || (length += strlen (link->name) + 1) > LENGTH_MAX)
      return NULL;
    g_ptr_array_add (pieces, link->name);
    if (link->parent == self->root)
      break;
  }
  path = g_string_new (NULL);
  for (guint i = pieces->len; i > 0; i--) {
    g_string_append_c (path, '/');
    g_string_append (path, g_ptr_array_index (pieces, i - 1));
  }
  return g_string_free (path, FALSE);
}

static int
compare_paths (const void *a, const void *b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

/* All paths of an inode: at least one. */
static GPtrArray *
paths_of (const Names *self, guint64 inode)
{
  const Name *name = g_hash_table_lookup (self->known, &inode);
  GPtrArray *paths = g_ptr_array_new_with_free_func (g_free);

  if (inode == self->root)
    g_ptr_array_add (paths, g_strdup ("/"));
  else if (name && name->links)
    for (guint i = 0; i < name->links->len; i++) {
      char *path = path_of (self, &g_array_index (name->links, Link, i));
      if (path)
        g_ptr_array_add (paths, path);
    }
  if (paths->len == 0)
    g_ptr_array_add (paths, g_strdup ("(no name)"));
  g_ptr_array_sort (paths, compare_paths);
  return paths;
}

void
names_tell (const Names *self, Examination *examination, const Census *census,
            guint first, const GArray *files, guint block)
{
  for (guint i = 0; i < files->len; i++) {
    const NamedFile *file = &g_array_index (files, NamedFile, i);
    const CensusSum sum = census_sum (census, first + i);
    g_autoptr (GPtrArray) paths = paths_of (self, file->inode);
    Line line = {
      .kind = file->links == 0 ? LINE_REMOVED : file->kind,
      .changed = examine_changed (examination, &sum, block, file->ctime),
      .bytes = sum.bytes, .shared = sum.shared, .inode = file->inode,
      .links = file->links,
    };
    line.text = g_ptr_array_index (paths, 0);
    line.others = paths->len > 1 ? paths : NULL;
    examination->tell (examination, &line);
  }
}
