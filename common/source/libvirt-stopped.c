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
#include "source/file-request.h"
#include "source/libvirt.h"
#include "source/told-chain.h"

/* An image that only libvirt, or the guest's own QEMU, could open. */
static bool
is_followed (const GuestImage *image, const char *start, GError **error)
{
  if (image->unfollowed)
    return error_set (error, ENOTSUP, "%s: %s when its guest is off; what a "
                      "running one reads, QEMU itself tells: %s", image->key,
                      image->unfollowed, start);
  if (image->missing)
    return error_set (error, ENOTSUP, "%s: %s", image->key, image->missing);
  return true;
}

static RequestedFile *
request_file (const GuestChain *chain)
{
  const GuestImage *top = guest_chain_image (chain, 0);
  RequestedFile *file = g_new0 (RequestedFile, 1);

  file->target = g_strdup (chain->target);
  file->path = g_strdup (top->name);
  /* As libvirt takes a disk of which nothing is said. */
  file->format = g_strdup (*top->format ? top->format : "raw");
  file->told
    = g_ptr_array_new_with_free_func ((GDestroyNotify) told_image_free);
  file->called = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < chain->images->len; i++) {
    const GuestImage *image = guest_chain_image (chain, i);
    g_ptr_array_add (file->called, g_strdup (image->key));
    if (i > 0)
      g_ptr_array_add (file->told, told_image_new (
        image->name ? image->name : image->key, image->format));
  }
  return file;
}

/* NULL: it is read.  What is wrong with it for now (in use, not there) is no
 * reason to go on without it.  Nothing stays locked.
 */
static GError *
why_unreadable (const SourceRequest *request, const RequestedFile *file,
                const GuestChain *chain, const char *edit)
{
  const ChainRequest wanted
    = file_request_chain (request, file, file->target);
  g_autoptr (GError) why = NULL;
  g_autoptr (GPtrArray) layers = image_chain_inspect (&wanted, &why);

  /* What is below an image on a server shows once that is open. */
  if (layers && ((const Layer *) g_ptr_array_index (
                   layers, layers->len - 1))->path[0] == '/')
    told_chain_fits (chain, layers, edit, &why);
  return why && (why->code == EINVAL || why->code == ENOTSUP)
    ? g_steal_pointer (&why) : NULL;
}

/* Who names another format means another disk, or is mistaken. */
static bool
is_of_format (const SourceRequest *request, const RequestedFile *file,
              const char *edit, GError **error)
{
  for (guint i = 0; i < request->formats->len; i++) {
    const RequestedWord *word = g_ptr_array_index (request->formats, i);
    if (g_strcmp0 (word->target, file->target) == 0
        && strcmp (word->value, file->format) != 0)
      return error_set (error, ENOTSUP, "it is %s by the guest's definition, "
                        "and not %s, as was asked for; if the definition is "
                        "wrong, change it: %s", file->format, word->value,
                        edit);
  }
  return true;
}

static GError *
why_not_read (const SourceRequest *request, const RequestedFile *file,
              const Guest *guest)
{
  const GuestChain *chain = guest_chain (guest, file->target);
  g_autofree char *start = error_virsh (request->libvirt, "start --paused",
                                        guest->name, NULL);
  g_autofree char *edit = error_virsh (request->libvirt, "edit", guest->name,
                                       NULL);
  GError *why = NULL;

  for (guint i = 0; i < chain->images->len; i++)
    if (!is_followed (guest_chain_image (chain, i), start, &why))
      return why;
  if (!is_of_format (request, file, edit, &why))
    return why;
  if (strcmp (file->format, "qcow2") == 0 || request->on_missing_full)
    return why_unreadable (request, file, chain, edit);
  error_set (&why, ENOTSUP, "it is %s, and only qcow2 holds dirty bitmaps, "
             "so nothing was recorded", file->format);
  error_sort (&why, REASON_NOT_QCOW2, file->path);
  error_advise (&why, REMEDY_SERVE_WHOLE, NULL);
  return why;
}

/* unread: target → why.  The only disk that is wanted must be read. */
static bool
add_file (SourceRequest *stopped, const GuestDisk *disk, const Guest *guest,
          const char *who, GHashTable *unread, GError **error)
{
  if (stopped->disk && strcmp (stopped->disk, disk->target) != 0)
    return true;
  RequestedFile *file = request_file (guest_chain (guest, disk->target));
  GError *why = why_not_read (stopped, file, guest);
  if (!why) {
    g_ptr_array_add (stopped->files, file);
    return true;
  }
  requested_file_free (file);
  if (!stopped->disk) {
    g_hash_table_insert (unread, g_strdup (disk->target), why);
    return true;
  }
  g_prefix_error (&why, "%s: disk %s cannot be served: ", who, disk->target);
  why->code = ENOTSUP;
  g_propagate_error (error, why);
  return false;
}

/* Looked at again, as the images may have changed before they were locked. */
static bool
all_fit (const Source *source, const SourceRequest *request,
             const Guest *guest, GError **error)
{
  g_autofree char *edit = error_virsh (request->libvirt, "edit", guest->name,
                                       NULL);

  for (guint i = 0; i < source->disks->len; i++) {
    const Disk *disk = g_ptr_array_index (source->disks, i);
    if (!told_chain_fits (guest_chain (guest, disk->target), disk->layers,
                          edit, error)) {
      g_prefix_error (error, "disk %s: ", disk->target);
      return false;
    }
  }
  return true;
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
    if (!add_file (&stopped, g_ptr_array_index (look->guest->disks, i),
                   look->guest, who, unread, error))
      return NULL;
  if (files->len == 0) {
    refuse_all (request, look->guest, who, unread, error);
    return NULL;
  }
  source = source_file_ops.inspect (&stopped, g_steal_pointer (&look->tree),
                                    reporter, error);
  if (!source)
    return NULL;
  if (!all_fit (source, request, look->guest, error)) {
    source->ops->free (source);
    return NULL;
  }
  libvirt_leave_out (source, request, unread, true);
  libvirt_leave_out (source, request, look->guest->left_out, false);
  /* Drives that are not read may be those that changed places with others. */
  libvirt_add_chains (source->roster, look->guest, source->disks);
  roster_learn (source->roster, source->offer->forest);
  return source;
}
