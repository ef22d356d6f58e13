/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * file=: the images of a stopped guest, read by a private qemu-storage-daemon.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/child.h"
#include "base/error.h"
#include "base/nearest.h"
#include "image/chain.h"
#include "qemu/storage-daemon.h"
#include "source/file-offer.h"
#include "source/source.h"

typedef struct {
  Source source;
  StorageDaemon *daemon;
  bool drops_cache;
  DropBehind *behind;           /* of all disks; NULL: what is read stays in the
                                 * page cache */
  GHashTable *secrets;          /* where it was read → Secret */
  GHashTable *direct;           /* Disk → DirectRead, where that is possible */
} FileSource;

/* The target that the last document that knows the path gives it, or knows
 * what the path leads to.  The documents' own paths are not looked up: they
 * may lead anywhere.
 */
static const char *
target_by_path (const Forest *tree, const char *path)
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

static char *
choose_target (const SourceRequest *request, const Forest *tree, guint index,
               GError **error)
{
  const RequestedFile *file = g_ptr_array_index (request->files, index);
  const bool single = request->files->len == 1;

  if (file->target)
    return g_strdup (file->target);
  if (!tree || !tells_disks (tree))
    return single && request->disk
      ? g_strdup (request->disk) : nth_target (index);

  const char *target = target_by_path (tree, file->path);
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

/* What is said of all disks goes for those of which nothing is said. */
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

/* Each is read once: it may come from a pipe. */
static Secret *
secret_of (FileSource *self, const RequestedWord *word, GError **error)
{
  Secret *secret = g_hash_table_lookup (self->secrets, word->value);

  if (!secret && (secret = secret_read (word->value, error)))
    g_hash_table_insert (self->secrets, g_strdup (word->value), secret);
  return secret;
}

static bool
read_secrets (FileSource *self, const SourceRequest *request, Disk *disk,
              GError **error)
{
  disk->secrets
    = g_ptr_array_new_with_free_func ((GDestroyNotify) secret_unref);
  for (guint i = 0; i < request->secrets->len; i++) {
    const RequestedWord *word = g_ptr_array_index (request->secrets, i);
    if (word->target && strcmp (word->target, disk->target) != 0)
      continue;
    Secret *secret = secret_of (self, word, error);
    if (!secret)
      return false;
    g_ptr_array_add (disk->secrets, secret_ref (secret));
  }
  return true;
}

static bool
add_disk (FileSource *self, const SourceRequest *request, const char *target,
          const RequestedFile *file, GError **error)
{
  Source *source = &self->source;
  const char *path = file->path;
  const ChainRequest chain = {
    .path = path,
    .format = format_of (request, file, target),
    .backing_format = request->backing_format,
    .whole = request->on_missing_full,
    .told = file->told,
    .backings = request->backings,
  };

  for (guint i = 0; i < source->disks->len; i++) {
    const Disk *other = g_ptr_array_index (source->disks, i);
    if (strcmp (other->target, target) == 0)
      return error_set (error, EINVAL, "disk %s is given twice: %s and %s",
                        target, disk_layer (other, 0)->path, path)
        || error_advise (error, REMEDY_NAME_TARGET, path, NULL);
  }
  GPtrArray *layers = image_chain_inspect (&chain, error);
  if (!layers)
    return false;
  Disk *disk = disk_new (target);
  g_ptr_array_unref (disk->layers);
  disk->layers = layers;
  disk->libvirt_uri = g_strdup (request->libvirt);
  g_ptr_array_add (source->disks, disk);
  for (guint i = 0; i < layers->len; i++)
    roster_add (source->roster, target, disk_layer (disk, i)->path);
  for (guint i = 0; file->called && i < file->called->len; i++)
    roster_call (source->roster, target, i,
                 g_ptr_array_index (file->called, i));
  return read_secrets (self, request, disk, error);
}

static bool
add_disks (FileSource *self, const SourceRequest *request, const Forest *tree,
           GError **error)
{
  for (guint i = 0; i < request->files->len; i++) {
    const RequestedFile *file = g_ptr_array_index (request->files, i);
    g_autofree char *target = choose_target (request, tree, i, error);
    if (!target || !add_disk (self, request, target, file, error))
      return false;
  }
  return true;
}

static void
file_free (Source *source)
{
  FileSource *self = (FileSource *) source;

  storage_daemon_stop (self->daemon);
  g_hash_table_unref (self->direct);
  g_hash_table_unref (self->secrets);
  drop_behind_free (self->behind);
  source_clear (source);
  g_free (self);
}

static bool
open_disks (FileSource *self, GError **error)
{
  const GPtrArray *disks = self->source.disks;

  self->daemon = storage_daemon_start (self->source.life, disks, error);
  bool ok = self->daemon != NULL;
  for (guint i = 0; ok && i < disks->len; i++)
    ok = storage_daemon_open (self->daemon, g_ptr_array_index (disks, i),
                              self->drops_cache, error);
  return ok;
}

/* A daemon of the user that nbdkit was told to become.  The other keeps the
 * images as they are until this one has them.
 */
static bool
become_user (FileSource *self, GError **error)
{
  StorageDaemon *before = self->daemon;
  const bool ok = open_disks (self, error);

  storage_daemon_stop (before);
  return ok;
}

/* No daemon is started any more. */
static void
forget_secrets (FileSource *self)
{
  const GPtrArray *disks = self->source.disks;

  for (guint i = 0; i < disks->len; i++)
    g_clear_pointer (&((Disk *) g_ptr_array_index (disks, i))->secrets,
                     g_ptr_array_unref);
  g_hash_table_remove_all (self->secrets);
}

static bool
file_start (Source *source, GError **error)
{
  FileSource *self = (FileSource *) source;

  if (!storage_daemon_is_ours (self->daemon) && !become_user (self, error))
    return false;
  forget_secrets (self);
  if (self->drops_cache)
    self->behind = drop_behind_new ();
  for (guint i = 0; i < source->disks->len; i++) {
    Disk *disk = g_ptr_array_index (source->disks, i);
    DirectRead *direct = direct_read_open (disk, self->behind);
    if (direct)
      g_hash_table_insert (self->direct, (gpointer) disk, direct);
  }
  return true;
}

static bool
file_look (const SourceRequest *request G_GNUC_UNUSED,
           const Reporter *reporter G_GNUC_UNUSED, bool *at_rest,
           GError **error G_GNUC_UNUSED)
{
  *at_rest = true;
  return true;
}

static const DirectRead *
file_direct (Source *source, const Disk *disk)
{
  return g_hash_table_lookup (((FileSource *) source)->direct, disk);
}

/* QEMU leaves out bitmaps that it does not trust, and says so, but not of which
 * layer; the headers tell.  Should they not, it may be any.
 */
static void
note_void_bitmaps (const GPtrArray *disks)
{
  for (guint i = 0; i < disks->len; i++)
    if (disk_void_layer (g_ptr_array_index (disks, i)))
      return;
  for (guint i = 0; i < disks->len; i++) {
    const Disk *disk = g_ptr_array_index (disks, i);
    for (guint j = 0; j < disk->layers->len; j++)
      ((Layer *) g_ptr_array_index (disk->layers, j))->void_bitmaps
        = "QEMU considers bitmaps of one of the images inconsistent";
  }
}

/* QEMU opens the image, and is not content with it. */
static void
heed_words (FileSource *self)
{
  g_autofree char *words = child_says (storage_daemon_child (self->daemon));
  g_auto (GStrv) parts
    = g_strsplit (words ? words : "", "qemu-storage-daemon: ", -1);

  for (guint i = 0; parts[i]; i++) {
    if (!*g_strstrip (parts[i]))
      continue;
    /* block/qcow2.c, qcow2_read_extensions, of QEMU 7.2 to 10.0.  It is said of
     * the layer where that matters.
     */
    if (strstr (parts[i], "considered inconsistent")) {
      note_void_bitmaps (self->source.disks);
      continue;
    }
    reporter_warn (self->source.reporter, "the storage daemon says: %s",
                   parts[i]);
  }
}

static Source *
file_inspect (const SourceRequest *request, Forest *tree,
              const Reporter *reporter, GError **error)
{
  g_autoptr (Forest) forest = tree;
  FileSource *self = g_new0 (FileSource, 1);
  Source *source = &self->source;

  source_init (source, &source_file_ops, request, reporter);
  source->roster = roster_new (true);
  source->can_serve_whole = true;
  self->drops_cache = request->drops_cache;
  self->direct = g_hash_table_new_full (NULL, NULL, NULL,
                                        (GDestroyNotify) direct_read_free);
  self->secrets
    = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                             (GDestroyNotify) secret_unref);
  if (!add_disks (self, request, forest, error) || !open_disks (self, error)) {
    file_free (source);
    return NULL;
  }
  heed_words (self);
  source->offer
    = file_offer (source, request, g_steal_pointer (&forest), error);
  if (!source->offer) {
    file_free (source);
    return NULL;
  }
  source_call_roll (source);
  return source;
}

static bool
file_endpoint (Source *source, const Disk *disk, const Part *part,
               NbdEndpoint *endpoint, GError **error)
{
  FileSource *self = (FileSource *) source;

  /* A bitmap of a shorter layer is silent about what lies beyond it. */
  source_set_dirty (endpoint, part, part->layer + 1,
                    disk_layer (disk, part->layer)->size);
  return storage_daemon_export (self->daemon, disk, part->layer,
                                part->bitmap ? part->bitmap->name : NULL,
                                endpoint, error);
}

static void
file_disown (Source *source)
{
  child_disown (storage_daemon_child (((FileSource *) source)->daemon));
}

static const char *
file_instant (const Disk *disk)
{
  for (guint i = 0; i < disk->layers->len; i++)
    if (!disk_layer (disk, i)->file)
      return "as long as nobody writes to its server";
  return "its files locked while this server runs";
}

const SourceOps source_file_ops = {
  .name     = "file",
  .instant  = file_instant,
  .inspect  = file_inspect,
  .start    = file_start,
  .endpoint = file_endpoint,
  .look     = file_look,
  .direct   = file_direct,
  .disown   = file_disown,
  .free     = file_free,
};
