/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * See file-request.h.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "source/file-request.h"

/* By the last document that knows the path, or what the path leads to.  The
 * documents' own paths are not looked up: they may lead anywhere.
 */
const char *
file_request_known_target (const Forest *tree, const char *path)
{
  const GPtrArray *all = forest_all (tree);
  char *resolved = realpath (path, NULL);
  g_autofree char *real = g_strdup (resolved ? resolved : path);

  free (resolved);

  for (guint i = all->len; i > 0; i--) {
    const Checkpoint *checkpoint = g_ptr_array_index (all, i - 1);
    const GPtrArray *disks = checkpoint->domain_disks;
    for (guint j = 0; disks && j < disks->len; j++) {
      const DomainDisk *disk = g_ptr_array_index (disks, j);
      if (disk->source && (strcmp (disk->source, path) == 0
                           || strcmp (disk->source, real) == 0))
        return disk->target;
    }
  }
  return NULL;
}

/* Every target that some checkpoint covers, each once, borrowed. */
static GPtrArray *
covered_targets (const Forest *tree)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  GPtrArray *targets = g_ptr_array_new ();
  const GPtrArray *all = forest_all (tree);

  for (guint i = 0; i < all->len; i++) {
    const Checkpoint *checkpoint = g_ptr_array_index (all, i);
    for (guint j = 0; j < checkpoint->disks->len; j++) {
      const CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, j);
      if (disk->bitmap && g_hash_table_add (seen, disk->name))
        g_ptr_array_add (targets, disk->name);
    }
  }
  return targets;
}

/* Documents that say nothing of disks leave the naming to us. */
static bool
tells_disks (const Forest *tree)
{
  const GPtrArray *all = forest_all (tree);

  for (guint i = 0; i < all->len; i++)
    if (!((const Checkpoint *) g_ptr_array_index (all, i))->covers_any_disk)
      return true;
  return false;
}

/* vda, vdb, … vdz, vdaa… as Linux counts. */
static char *
nth_target (guint n)
{
  g_autofree char *before = n >= 26 ? nth_target (n / 26 - 1) : g_strdup ("vd");

  return g_strdup_printf ("%s%c", before, 'a' + (int) (n % 26));
}

char *
file_request_target (const SourceRequest *request, const Forest *tree,
                     guint index, GError **error)
{
  const RequestedFile *file = g_ptr_array_index (request->files, index);
  const bool single = request->files->len == 1;

  if (file->target)
    return g_strdup (file->target);
  if (!tree || !tells_disks (tree))
    return single && request->disk
      ? g_strdup (request->disk) : nth_target (index);

  const char *target = file_request_known_target (tree, file->path);
  if (target)
    return g_strdup (target);
  if (single && request->disk)
    return g_strdup (request->disk);

  g_autoptr (GPtrArray) targets = covered_targets (tree);
  if (single && targets->len == 1)
    return g_strdup (g_ptr_array_index (targets, 0));
  g_autofree char *known = nearest_names (NULL, targets, 8);
  error_set (error, EINVAL, "%s: which disk of the tree is it?  Known are: %s",
             file->path, known);
  return error_advise_null (error, REMEDY_NAME_TARGET, file->path, NULL);
}

static const char *
format_of (const SourceRequest *request, const RequestedFile *file,
           const char *target)
{
  const char *format = file->format;

  for (guint i = 0; i < request->formats->len; i++) {
    const RequestedWord *word = g_ptr_array_index (request->formats, i);
    if (word->target ? strcmp (word->target, target) == 0 : !format)
      format = word->value;
  }
  return format;
}

ChainRequest
file_request_chain (const SourceRequest *request, const RequestedFile *file,
                    const char *target)
{
  return (ChainRequest) {
    .path = file->path,
    .format = format_of (request, file, target),
    .backing_formats = request->backing_formats,
    .whole = request->on_missing_full,
    .told = file->told,
    .backings = request->backings,
  };
}

/* Each is read once: it may come from a pipe. */
static Secret *
secret_of (GHashTable *read, const RequestedWord *word, GError **error)
{
  Secret *secret = g_hash_table_lookup (read, word->value);

  if (!secret && (secret = secret_read (word->value, error)))
    g_hash_table_insert (read, g_strdup (word->value), secret);
  return secret;
}

bool
file_request_secrets (const SourceRequest *request, GHashTable *read,
                      Disk *disk, GError **error)
{
  disk->secrets
    = g_ptr_array_new_with_free_func ((GDestroyNotify) secret_unref);
  for (guint i = 0; i < request->secrets->len; i++) {
    const RequestedWord *word = g_ptr_array_index (request->secrets, i);
    if (word->target && strcmp (word->target, disk->target) != 0)
      continue;
    Secret *secret = secret_of (read, word, error);
    if (!secret)
      return false;
    g_ptr_array_add (disk->secrets, secret_ref (secret));
  }
  return true;
}

static bool
check_words (const GPtrArray *words, const char *what,
             const GPtrArray *targets, GError **error)
{
  for (guint i = 0; i < words->len; i++) {
    const RequestedWord *word = g_ptr_array_index (words, i);
    if (!word->target
        || g_ptr_array_find_with_equal_func ((GPtrArray *) targets,
                                             word->target, g_str_equal, NULL))
      continue;
    g_autofree char *nearest = nearest_names (word->target, targets, 8);
    return error_set (error, EINVAL, "the %s %s is said of disk %s, which "
                      "is not there; disks are: %s", what, word->value,
                      word->target, nearest);
  }
  return true;
}

bool
file_request_check_words (const SourceRequest *request, const GPtrArray *disks,
                          GError **error)
{
  g_autoptr (GPtrArray) targets = g_ptr_array_new ();

  for (guint i = 0; i < disks->len; i++)
    g_ptr_array_add (targets, ((const Disk *) g_ptr_array_index (disks,
                                                                 i))->target);
  return check_words (request->formats, "format", targets, error)
    && check_words (request->secrets, "secret", targets, error);
}
