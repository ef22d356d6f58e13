/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * file=: the images of a stopped guest, read by a private qemu-storage-daemon.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/child.h"
#include "base/error.h"
#include "image/chain.h"
#include "qemu/storage-daemon.h"
#include "source/file-offer.h"
#include "source/file-request.h"
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

/* What is written through one disk is in no bitmap of another. */
static bool
check_data_is_own (const Source *source, const Disk *disk, GError **error)
{
  for (guint i = 0; i < source->disks->len; i++) {
    const Disk *other = g_ptr_array_index (source->disks, i);
    const char *path = other == disk ? NULL
      : image_chains_share_data (disk->layers, other->layers);
    if (path)
      return error_set (error, EINVAL, "disks %s and %s both have their data in "
                        "%s, so what was written through one is not in the "
                        "other's record; one of the images has a wrong data "
                        "file: see qemu-img info", other->target, disk->target,
                        path);
  }
  return true;
}

static bool
add_disk (FileSource *self, const SourceRequest *request, const char *target,
          const RequestedFile *file, GError **error)
{
  Source *source = &self->source;
  const char *path = file->path;
  const ChainRequest chain = file_request_chain (request, file, target);

  const Disk *other = disk_find (source->disks, target);
  if (other)
    return error_set (error, EINVAL, "disk %s is given twice: %s and %s",
                      target, disk_layer (other, 0)->path, path)
      || error_advise (error, REMEDY_NAME_TARGET, path, NULL);
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
  return check_data_is_own (source, disk, error)
    && file_request_secrets (request, self->secrets, disk, error);
}

static bool
add_disks (FileSource *self, const SourceRequest *request, const Forest *tree,
           GError **error)
{
  for (guint i = 0; i < request->files->len; i++) {
    const RequestedFile *file = g_ptr_array_index (request->files, i);
    g_autofree char *target = file_request_target (request, tree, i, error);
    if (!target || !add_disk (self, request, target, file, error))
      return false;
  }
  return request->libvirt
    || file_request_check_words (request, self->source.disks, error);
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
  for (guint i = 0; ok && i < disks->len; i++) {
    Disk *disk = g_ptr_array_index (disks, i);
    ok = storage_daemon_open (self->daemon, disk, self->drops_cache, error);
    if (!ok && disks->len > 1)
      g_prefix_error (error, "disk %s: ", disk->target);
  }
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

/* A guest may have written that, so it is no reason to refuse. */
static void
warn_of_formats (const Source *source)
{
  for (guint i = 0; i < source->disks->len; i++) {
    const Disk *disk = g_ptr_array_index (source->disks, i);
    for (guint j = 0; j < disk->layers->len; j++)
      if (disk_layer (disk, j)->looks_like)
        reporter_warn (source->reporter, "disk %s: %s is read as raw, as was "
                       "said, but begins as a %s image; if it is one, all that "
                       "is served of it is wrong", disk->target,
                       disk_layer (disk, j)->path,
                       disk_layer (disk, j)->looks_like);
  }
}

/* No lock shows what a server's other clients do. */
static void
warn_of_servers (const Source *source)
{
  for (guint i = 0; i < source->disks->len; i++) {
    const Disk *disk = g_ptr_array_index (source->disks, i);
    for (guint j = 0; j < disk->layers->len; j++)
      if (!disk_layer (disk, j)->file)
        reporter_warn (source->reporter, "disk %s: nothing keeps a guest from "
                       "writing to %s, which cannot be locked; it must stay "
                       "stopped while this serves it", disk->target,
                       disk_layer (disk, j)->path);
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
  warn_of_formats (source);
  warn_of_servers (source);
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
