/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "tool/backup.h"
#include "tool/say.h"

/* How messages call it, as a disk. */
#define TARGET "backup"

static bool
add_file (SourceRequest *request, const Options *options, const char *path,
          GError **error)
{
  /* A name that begins as a disk's is a name all the same. */
  g_autofree char *value = g_strconcat (TARGET ":", path, NULL);

  if (!requested_file_add (request->files, value, error))
    return false;
  if (!options->backup_format)
    return true;
  g_autofree char *format
    = g_strconcat (TARGET ":", options->backup_format, NULL);
  return requested_word_add (request->formats, format, error);
}

/* A pipe's passphrase was read for the disk, and is gone. */
static bool
add_secrets (SourceRequest *request, const GPtrArray *secrets, GError **error)
{
  for (guint i = 0; i < secrets->len; i++) {
    const RequestedWord *word = g_ptr_array_index (secrets, i);
    if (!word->target && word->value[0] != '-'
        && !requested_secret_add (request->secrets, word->value, error))
      return false;
  }
  return true;
}

static bool
fill_request (SourceRequest *request, const Options *options,
              const char *path, GError **error)
{
  const SourceRequest *disk = &options->request;

  source_request_init (request);
  request->on_missing_full = true; /* its bitmaps are of no interest */
  for (guint i = 0; i < disk->backing_formats->len; i++) {
    const ToldImage *image = g_ptr_array_index (disk->backing_formats, i);
    g_ptr_array_add (request->backing_formats,
                     told_image_new (image->path, image->format));
  }
  for (guint i = 0; i < disk->backings->len; i++)
    g_ptr_array_add (request->backings,
                     g_strdup (g_ptr_array_index (disk->backings, i)));
  return add_file (request, options, path, error)
    && add_secrets (request, disk->secrets, error);
}

/* What helps against it where a guest's disk was named does not here. */
static bool
say_why (GError *why, GError **error)
{
  const char *const *words;
  const Remedy remedy = error_remedy (why, &words);

  if (remedy == REMEDY_NOT_QCOW2 || remedy == REMEDY_GUEST_RUNS) {
    error_set (error, why->code, "the backup cannot be opened: %s; %s",
               why->message, remedy == REMEDY_NOT_QCOW2
               ? "if it is raw, add --backup-format=raw"
               : "wait until that has ended");
    g_error_free (why);
    return false;
  }
  g_prefix_error (&why, "the backup cannot be opened: ");
  g_propagate_error (error, why);
  return false;
}

static bool
open_source (Backup *backup, const Options *options, const char *path,
             GError **error)
{
  SourceRequest *request = &backup->request;
  Reading *reading = &backup->reading;

  reading->source = fill_request (request, options, path, error)
    ? source_file_ops.inspect (request, NULL, &silent_reporter, error) : NULL;
  return reading->source && reading_start (reading, request, error);
}

bool
backup_open (Backup *backup, const Options *options, const char *path,
             GError **error)
{
  GError *why = NULL;

  return open_source (backup, options, path, &why) || say_why (why, error);
}

static bool
is_same (const ImageFile *a, const ImageFile *b)
{
  return a && b && image_file_is_same (a, b);
}

static bool
is_own_image (const Backup *backup, guint index, const char *target,
              GError **error)
{
  const Disk *disk = g_ptr_array_index (backup->reading.source->disks, 0);
  const char *path = disk_layer (disk, 0)->path;

  if (index == 0)
    return error_set (error, EINVAL, "%s is the image of disk %s itself, and "
                      "equals itself; name its backup", path, target);
  g_autofree char *quoted = error_shell_word (disk_layer (disk, index - 1)->path);
  return error_set (error, EINVAL, "the backup %s is no backup without disk %s: "
                    "it lies on %s, which is that disk's own image; if it was "
                    "made on another file, type qemu-img rebase -u -F qcow2 -b "
                    "THAT_FILE %s", path, target,
                    disk_layer (disk, index)->path, quoted);
}

bool
backup_check_apart (const Backup *backup, const Disk *disk, GError **error)
{
  const Disk *own = g_ptr_array_index (backup->reading.source->disks, 0);
  const Layer *top = disk_layer (disk, 0);

  for (guint i = 0; i < own->layers->len; i++) {
    const Layer *layer = disk_layer (own, i);
    if (is_same (layer->file, top->file) || is_same (layer->data, top->data)
        || is_same (layer->file, top->data))
      return is_own_image (backup, i, disk->target, error);
  }
  return true;
}

void
backup_clear (Backup *backup)
{
  reading_clear (&backup->reading);
  if (backup->request.files)    /* it has been filled in */
    source_request_clear (&backup->request);
}

OpenView *
backup_view (const Backup *backup, GError **error)
{
  return reading_view (&backup->reading, TARGET, "", error);
}
