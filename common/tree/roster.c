/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Compare the files of each disk's chain with what the checkpoints' documents
 * say.  The topmost file that a document knows says whose disk it was: files
 * above it are snapshots taken since.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "tree/roster.h"

typedef struct {
  char *called;                 /* what documents call it instead; or NULL */
  bool found;                   /* then these two are valid */
  dev_t device;
  ino_t inode;
  char path[];
} File;

typedef struct {
  char *target;
  GPtrArray *files;             /* of File, top first */
  GPtrArray *moved;             /* of Checkpoint: on the way to each leaf, the
                                 * last at which the disk was another;
                                 * borrowed from the forest */
} Chain;

struct Roster {
  bool local;
  GPtrArray *chains;            /* of Chain */
  GHashTable *known;            /* path in a document → File */
};

static void
file_free (gpointer data)
{
  File *file = data;

  g_free (file->called);
  g_free (file);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (File, file_free)

static void
chain_free (gpointer data)
{
  Chain *chain = data;

  g_free (chain->target);
  g_ptr_array_unref (chain->files);
  g_ptr_array_unref (chain->moved);
  g_free (chain);
}

/* A name that is not a path is a remote disk's. */
static File *
file_new (const Roster *roster, const char *path)
{
  const gsize size = strlen (path) + 1;
  File *file = g_malloc0 (sizeof *file + size);
  struct stat status;

  memcpy (file->path, path, size);
  if (roster->local && *path == '/' && stat (path, &status) == 0) {
    file->found = true;
    file->device = status.st_dev;
    file->inode = status.st_ino;
  }
  return file;
}

Roster *
roster_new (bool local)
{
  Roster *roster = g_new0 (Roster, 1);

  roster->local = local;
  roster->chains = g_ptr_array_new_with_free_func (chain_free);
  roster->known = g_hash_table_new_full (g_str_hash, g_str_equal, NULL,
                                         file_free);
  return roster;
}

void
roster_free (Roster *roster)
{
  if (!roster)
    return;
  g_ptr_array_unref (roster->chains);
  g_hash_table_unref (roster->known);
  g_free (roster);
}

static Chain *
find_chain (const Roster *roster, const char *target)
{
  for (guint i = 0; i < roster->chains->len; i++) {
    Chain *chain = g_ptr_array_index (roster->chains, i);
    if (strcmp (chain->target, target) == 0)
      return chain;
  }
  return NULL;
}

void
roster_add (Roster *roster, const char *target, const char *path)
{
  Chain *chain = find_chain (roster, target);

  if (!chain) {
    chain = g_new0 (Chain, 1);
    chain->target = g_strdup (target);
    chain->moved = g_ptr_array_new ();
    chain->files = g_ptr_array_new_with_free_func (file_free);
    g_ptr_array_add (roster->chains, chain);
  }
  g_ptr_array_add (chain->files, file_new (roster, path));
}

void
roster_call (Roster *roster, const char *target, guint place,
             const char *called)
{
  Chain *chain = find_chain (roster, target);

  if (!chain || place >= chain->files->len)
    return;
  File *file = g_ptr_array_index (chain->files, place);
  g_free (file->called);
  file->called = g_strdup (called);
}

static void
look_up_documents (Roster *roster, const Forest *forest)
{
  const GPtrArray *all = forest_all (forest);

  for (guint i = 0; i < all->len; i++) {
    const Checkpoint *checkpoint = g_ptr_array_index (all, i);
    const GPtrArray *disks = checkpoint->domain_disks;
    for (guint j = 0; disks && j < disks->len; j++) {
      const DomainDisk *disk = g_ptr_array_index (disks, j);
      if (!disk->source || g_hash_table_contains (roster->known, disk->source))
        continue;
      File *file = file_new (roster, disk->source);
      g_hash_table_insert (roster->known, file->path, file);
    }
  }
}

static bool
is_same (const File *a, const File *b)
{
  return strcmp (a->path, b->path) == 0
    || g_strcmp0 (a->called, b->path) == 0
    || (a->found && b->found && a->device == b->device
        && a->inode == b->inode);
}

/* Is the file the one that a document calls so? */
static bool
is_called (const Roster *roster, const File *file, const char *source)
{
  const File *known = g_hash_table_lookup (roster->known, source);

  return known ? is_same (file, known)
    : strcmp (file->path, source) == 0
    || g_strcmp0 (file->called, source) == 0;
}

/* -1 also without a chain or a source. */
static int
place_in (const Roster *roster, const Chain *chain, const char *source)
{
  for (guint i = 0; chain && source && i < chain->files->len; i++)
    if (is_called (roster, g_ptr_array_index (chain->files, i), source))
      return (int) i;
  return -1;
}

bool
roster_has (const Roster *roster, const char *target, const char *path)
{
  const Chain *chain = find_chain (roster, target);
  g_autoptr (File) file = file_new (roster, path);
  bool has = false;

  for (guint i = 0; chain && i < chain->files->len; i++)
    has |= is_same (g_ptr_array_index (chain->files, i), file);
  return has;
}

/* The disk's source by the document, or NULL. */
static const char *
source_then (const Checkpoint *checkpoint, const char *target)
{
  const GPtrArray *disks = checkpoint->domain_disks;

  for (guint i = 0; disks && i < disks->len; i++) {
    const DomainDisk *disk = g_ptr_array_index (disks, i);
    if (strcmp (disk->target, target) == 0)
      return disk->source;
  }
  return NULL;
}

/* Whose disk then was the topmost file of the chain, above `end`, that the
 * document knows?
 */
static const DomainDisk *
other_above (const Roster *roster, const Checkpoint *checkpoint,
             const Chain *chain, guint end, const File **file)
{
  const GPtrArray *disks = checkpoint->domain_disks;

  for (guint i = 0; i < end; i++)
    for (guint j = 0; disks && j < disks->len; j++) {
      const DomainDisk *disk = g_ptr_array_index (disks, j);
      *file = g_ptr_array_index (chain->files, i);
      if (disk->source && strcmp (disk->target, chain->target) != 0
          && is_called (roster, *file, disk->source))
        return disk;
    }
  return NULL;
}

/* The image has the record, and tells it by the disk's name of then. */
static bool
advise_read (const Roster *roster, const Checkpoint *checkpoint,
             const Chain *chain, const char *target, GError **error)
{
  const File *top = g_ptr_array_index (chain->files, 0);
  const char *bitmap = checkpoint_bitmap (checkpoint, target);

  return roster->local && *top->path == '/' && bitmap
    && error_advise (error, REMEDY_READ_AS, target, top->path, bitmap, NULL);
}

/* file: of the chain, that was `other` at the checkpoint.  advise: the record
 * that is asked for is since that one.
 */
static bool
refuse_other (const Roster *roster, const Checkpoint *checkpoint,
              const Chain *chain, const File *file, const char *other,
              bool advise, GError **error)
{
  if (!error)
    return false;

  const bool is_new_name
    = !find_chain (roster, other) && !source_then (checkpoint, chain->target);
  if (is_new_name)
    error_set (error, EIO, "disk %s was %s at checkpoint %s (its %s), and is "
               "recorded there by that name only", chain->target, other,
               checkpoint->name, file->path);
  else
    error_set (error, EIO, "disk %s is not the disk that it was at checkpoint "
               "%s: its %s was %s then, so what changed is recorded of another "
               "disk", chain->target, checkpoint->name, file->path, other);
  error_sort (error, REASON_OTHER_DISK, file->path);
  if (advise)
    advise_read (roster, checkpoint, chain, other, error);
  return error_advise (error, REMEDY_FULL_BACKUP, is_new_name
                       ? " of it, with a new checkpoint" : " of it", NULL);
}

/* since: the checkpoint that is asked for. */
static bool
check_one (const Roster *roster, const Checkpoint *since,
           const Checkpoint *checkpoint, const Chain *chain, GError **error)
{
  const char *target = chain->target;
  const char *then = source_then (checkpoint, target);
  const File *file;
  const int place = place_in (roster, chain, then);
  const DomainDisk *other
    = other_above (roster, checkpoint, chain,
                   place < 0 ? chain->files->len : (guint) place, &file);
  if (other)
    return refuse_other (roster, checkpoint, chain, file, other->target,
                         checkpoint == since, error);
  for (guint i = 0; then && place < 0 && i < roster->chains->len; i++) {
    const Chain *now = g_ptr_array_index (roster->chains, i);
    if (place_in (roster, now, then) >= 0)
      return error_set (error, EIO, "disk %s is not the disk that it was at "
                        "checkpoint %s: it was %s then, which is %s now, so "
                        "what changed is recorded of another disk", target,
                        checkpoint->name, then, now->target)
        || error_sort (error, REASON_OTHER_DISK, then)
        || error_advise (error, REMEDY_FULL_BACKUP, " of it", NULL);
  }
  return true;
}

bool
roster_check (const Roster *roster, const Checkpoint *checkpoint,
              const char *target, GError **error)
{
  const Chain *chain = roster ? find_chain (roster, target) : NULL;

  if (!chain)
    return true;
  if (!check_one (roster, checkpoint, checkpoint, chain, error))
    return false;
  /* The record goes on at each later checkpoint, so it must have been the same
   * disk there.
   */
  for (guint i = 0; i < chain->moved->len; i++) {
    const Checkpoint *later = g_ptr_array_index (chain->moved, i);
    if (forest_is_ancestor (checkpoint, later)
        && !check_one (roster, checkpoint, later, chain, error))
      return false;
  }
  return true;
}

/* From a leaf up, the latest that tells of another disk.  seen: by position; below
 * what was seen there is nothing more to find.
 */
static void
find_moved (const Roster *roster, Chain *chain, const Checkpoint *at,
            guint8 *seen)
{
  for (; at && !seen[at->position]; at = at->parent) {
    seen[at->position] = 1;
    if (!check_one (roster, NULL, at, chain, NULL)) {
      g_ptr_array_add (chain->moved, (gpointer) at);
      return;
    }
  }
}

void
roster_learn (Roster *roster, const Forest *forest)
{
  g_autoptr (GPtrArray) leaves = forest_leaves (forest);

  look_up_documents (roster, forest);
  for (guint i = 0; i < roster->chains->len; i++) {
    Chain *chain = g_ptr_array_index (roster->chains, i);
    g_autofree guint8 *seen = g_new0 (guint8, forest_size (forest) + 1);
    g_ptr_array_set_size (chain->moved, 0);
    for (guint j = 0; j < leaves->len; j++)
      find_moved (roster, chain, g_ptr_array_index (leaves, j), seen);
  }
}

int
roster_place (const Roster *roster, const Checkpoint *checkpoint,
              const char *target)
{
  return roster ? place_in (roster, find_chain (roster, target),
                            source_then (checkpoint, target)) : -1;
}

const char *
roster_strayed (const Roster *roster, const Checkpoint *checkpoint,
                const char *target)
{
  const Chain *chain = roster ? find_chain (roster, target) : NULL;
  const char *then = chain ? source_then (checkpoint, target) : NULL;

  return place_in (roster, chain, then) < 0 ? then : NULL;
}
