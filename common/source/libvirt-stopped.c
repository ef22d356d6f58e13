/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A stopped guest of libvirt's: its images as file= reads them, but with
 * libvirt's names for the disks and libvirt's tree.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "image/chain.h"
#include "source/libvirt.h"

/* As libvirt takes a disk of which nothing is said. */
static const char *
format_of (const GuestDisk *disk)
{
  return disk->format ? disk->format : "raw";
}

/* NULL: it is read.  What is wrong with it for now (in use, not there) is no
 * reason to go on without it.  Nothing stays locked.
 */
static GError *
why_not_read (const GuestDisk *disk, bool whole)
{
  const char *format = format_of (disk);
  g_autoptr (GError) why = NULL;

  if (!disk->source || strcmp (disk->type, "network") == 0)
    error_set (&why, ENOTSUP, "of a stopped guest only local images are read, "
               "and it is %s on %s", format, disk->type);
  else if (strcmp (format, "qcow2") != 0 && !whole) {
    error_set (&why, ENOTSUP, "it is %s, and only qcow2 holds dirty bitmaps, "
               "so nothing was recorded", format);
    error_advise (&why, REMEDY_SERVE_WHOLE, NULL);
  }
  else {
    g_autoptr (GPtrArray) layers = image_chain_inspect (
      &(ChainRequest) { .path = disk->source, .format = format }, &why);
    if (layers || (why->code != EINVAL && why->code != ENOTSUP))
      return NULL;
  }
  return g_steal_pointer (&why);
}

/* unread: target → why.  The only disk that is wanted must be read. */
static bool
add_file (SourceRequest *stopped, const GuestDisk *disk, const char *who,
          GHashTable *unread, GError **error)
{
  if (stopped->disk && strcmp (stopped->disk, disk->target) != 0)
    return true;
  GError *why = why_not_read (disk, stopped->on_missing_full);
  if (!why) {
    RequestedFile *file = g_new0 (RequestedFile, 1);
    file->target = g_strdup (disk->target);
    file->path = g_strdup (disk->source);
    file->format = g_strdup (format_of (disk));
    g_ptr_array_add (stopped->files, file);
    return true;
  }
  if (!stopped->disk) {
    g_hash_table_insert (unread, g_strdup (disk->target), why);
    return true;
  }
  g_prefix_error (&why, "%s: disk %s cannot be served: ", who, disk->target);
  why->code = ENOTSUP;
  g_propagate_error (error, why);
  return false;
}

/* Where the definition names files below the disk's own, they should be there.
 */
static void
find_strays (const Source *source, const Guest *guest)
{
  for (guint i = 0; i < source->disks->len; i++) {
    Disk *disk = g_ptr_array_index (source->disks, i);
    const GuestChain *chain = guest_chain (guest, disk->target);
    for (guint j = 1; chain && !disk->stray && j < chain->paths->len; j++) {
      const char *path = g_ptr_array_index (chain->paths, j);
      if (!roster_has (source->roster, disk->target, path))
        disk->stray = g_strdup (path);
    }
  }
}

/* None of the wanted disks is read.  unread: target → why. */
static void
refuse_all (const SourceRequest *request, const Guest *guest, const char *who,
            GHashTable *unread, GError **error)
{
  GHashTableIter iter;
  gpointer target, why;

  if (request->disk && !guest_disk (guest, request->disk)) {
    g_autofree char *names = libvirt_targets (guest, request->disk);
    error_set (error, ENOENT, "%s has no disk %s that can be read; there are: "
               "%s", who, request->disk, names);
    return;
  }
  g_hash_table_iter_init (&iter, unread);
  if (g_hash_table_iter_next (&iter, &target, &why)) {
    error_set (error, ENOTSUP, "%s: none of its disks can be read; the first, "
               "%s: %s", who, (char *) target, ((GError *) why)->message);
    error_advise_as (error, why);
  }
  else
    error_set (error, ENOENT, "%s has no disk that can be read", who);
}

Source *
libvirt_open_stopped (const SourceRequest *request, GuestLook *look,
                      const char *who, const Reporter *reporter,
                      GError **error)
{
  SourceRequest stopped = *request;
  g_autoptr (GPtrArray) files
    = g_ptr_array_new_with_free_func ((GDestroyNotify) requested_file_free);
  Source *source = NULL;

  if (look->host)
    return error_null (error, ENOTSUP, "%s is not running, and its images are "
                       "on %s; start this there, or start the guest", who,
                       look->host);
  if (request->create) {
    error_set (error, ENOTSUP, "checkpoint %s cannot be made: %s is not "
               "running, and libvirt makes checkpoints of running guests only",
               request->create, who);
    return error_advise_null (error, REMEDY_NO_CHECKPOINT, NULL);
  }
  g_autoptr (GHashTable) unread
    = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                             (GDestroyNotify) g_error_free);
  stopped.files = files;
  for (guint i = 0; i < look->guest->disks->len; i++)
    if (!add_file (&stopped, g_ptr_array_index (look->guest->disks, i), who,
                   unread, error))
      return NULL;
  if (files->len == 0) {
    refuse_all (request, look->guest, who, unread, error);
    return NULL;
  }
  source = source_file_ops.inspect (&stopped, g_steal_pointer (&look->tree),
                                    reporter, error);
  if (!source)
    return NULL;
  libvirt_leave_out (source, request, unread, true);
  libvirt_leave_out (source, request, look->guest->left_out, false);
  /* Drives that are not read may be those that changed places with others. */
  libvirt_add_chains (source->roster, look->guest, source->disks);
  roster_learn (source->roster, source->offer->forest);
  find_strays (source, look->guest);
  return source;
}
