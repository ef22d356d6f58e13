/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The words of parts.c's refusals because of what is in a layer, and of what mends
 * it there.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "parts/parts.h"
#include "parts/refuse.h"

bool
parts_may_be_lost (const Disk *disk, const char *bitmap)
{
  for (guint i = 0; i < disk->layers->len; i++)
    if (layer_may_have_lost (disk_layer (disk, i), bitmap))
      return true;
  return false;
}

/* bitmap NULL: all that may be lost. */
static GString *
removal (const Disk *disk, const char *bitmap)
{
  GString *remedy = g_string_new (NULL);

  for (guint i = 0; i < disk->layers->len; i++) {
    const Layer *other = disk_layer (disk, i);
    for (guint j = 0; j < other->bitmaps->len; j++) {
      const Bitmap *one = g_ptr_array_index (other->bitmaps, j);
      if (bitmap ? strcmp (one->name, bitmap) != 0
          : !parts_may_be_lost (disk, one->name))
        continue;
      g_autofree char *path = error_shell_word (other->path);
      g_autofree char *name = error_shell_word (one->name);
      /* Such a name would be an option. */
      g_string_append_printf (remedy, "%sqemu-img bitmap --remove %s%s %s",
                              remedy->len ? " && " : "",
                              one->name[0] == '-' ? "-- " : "", path, name);
    }
  }
  return remedy;
}

char *
parts_removal (const Disk *disk, const char *bitmap)
{
  return g_string_free (removal (disk, bitmap), FALSE);
}

/* The bitmaps that are left may have gone on in the layer that lost those of
 * the same name, and look complete without the sign of the loss.  So they all
 * go, and then, if they went, the sign.
 */
char *
parts_void_removal (const Disk *disk)
{
  GString *remedy = removal (disk, NULL);

  for (guint i = 0; i < disk->layers->len; i++) {
    const Layer *other = disk_layer (disk, i);
    if (!other->void_bitmaps)
      continue;
    g_autofree char *path = error_shell_word (other->path);
    g_string_append_printf (remedy, "%sqemu-img check -r leaks %s",
                            remedy->len ? " && " : "", path);
  }
  return g_string_free (remedy, FALSE);
}

static bool
advise_removal (GError **error, const char *what, const char *commands)
{
  g_autofree char *command = error_change_images (commands);
  g_autofree char *more
    = g_strdup_printf (", and then, to %s, %s", what, command);

  return error_advise (error, REMEDY_FULL_BACKUP, more, NULL);
}

bool
parts_void (const Disk *disk, const Layer *layer, const char *bitmap,
            GError **error)
{
  if (!error)
    return false;

  g_autofree char *remedy = parts_void_removal (disk);

  error_set (error, EIO, "disk %s: all bitmaps of %s are void (%s), so what "
             "was written to it since %s%s is unknown", disk->target,
             layer->path, layer->void_bitmaps,
             bitmap ? "bitmap " : "any checkpoint", bitmap ? bitmap : "");
  error_sort (error, REASON_VOID, layer->path);
  return advise_removal (error, "forget the lost record", remedy);
}

bool
parts_lost (const Disk *disk, const Layer *layer, const char *bitmap,
            GError **error)
{
  g_autofree char *remedy = parts_removal (disk, bitmap);

  error_set (error, ENOENT, "disk %s: bitmap %s is not in %s, which was the "
             "disk when the bitmap was made, so what was written to it since "
             "is lost", disk->target, bitmap, layer->path);
  error_sort (error, REASON_LOST, layer->path);
  return advise_removal (error, "forget the rest", remedy);
}

bool
parts_not_offered (const Disk *disk, const Layer *layer, const char *bitmap,
                   GError **error)
{
  error_set (error, ENOENT, "disk %s: %s does not offer bitmap %s, so what was "
             "written to that layer is unknown", disk->target, layer->path,
             bitmap);
  return error_advise (error, REMEDY_EXPORT_LAYER, bitmap, NULL);
}

/* QEMU sets that mark while it has the image open.  A lock would have told of a
 * guest that is running, but not all set one.
 */
bool
parts_inconsistent (const Disk *disk, const Layer *layer,
                    const char *bitmap, GError **error)
{
  g_autofree char *remedy = parts_removal (disk, bitmap);
  g_autofree char *advice = error_change_images (remedy);

  error_set (error, EIO, "disk %s: bitmap %s in %s is inconsistent (in-use): a "
             "guest is running from it, or it was not saved when QEMU ended, "
             "so blocks are missing from it", disk->target, bitmap,
             layer->path);
  error_sort (error, REASON_INCONSISTENT, layer->path);
  return error_advise (error, REMEDY_GUEST_OR_BITMAP, advice, NULL);
}

bool
parts_misnamed (const Disk *disk, const Layer *layer, const char *bitmap,
                GError **error)
{
  error_set (error, EILSEQ, "disk %s: the name of bitmap %s in %s is not "
             "UTF-8, and QEMU cannot be asked for it", disk->target, bitmap,
             layer->path);
  error_sort (error, REASON_MISNAMED, layer->path);
  return error_advise (error, REMEDY_FULL_BACKUP, ", with a new checkpoint",
                       NULL);
}

bool
parts_forgets_zeroes (const Disk *disk, const Layer *layer, GError **error)
{
  if (!error)
    return false;

  g_autofree char *path = error_shell_word (layer->path);
  g_autofree char *command
    = g_strdup_printf ("qemu-img amend -f qcow2 -o compat=1.1 %s", path);

  error_set (error, ENOTSUP, "disk %s: %s has no bitmap and is qcow2 of version "
             "2 (qemu-img info -U calls it compat 0.10), which may keep no sign "
             "of what the guest zeroes during a backup, so a change could be "
             "missed", disk->target, layer->path);
  return advise_removal (error, "have increments again", command);
}

bool
parts_not_recording (const Disk *disk, const Checkpoint *checkpoint,
                     guint layer, const char *why, Reason reason,
                     Remedy remedy, GError **error)
{
  const char *path = disk_layer (disk, layer)->path;

  error_set (error, EIO, "disk %s: the bitmap of checkpoint %s in %s is not "
             "recording (disabled), and %s; blocks written since are "
             "unknown", disk->target, checkpoint->name, path, why);
  error_sort (error, reason, path);
  return error_advise (error, remedy, NULL);
}

bool
parts_forgotten_between (const Disk *disk, const Checkpoint *checkpoint,
                         guint layer, const char *bitmap, GError **error)
{
  g_autofree char *why = g_strdup_printf (
    "bitmap %s there, of which no checkpoint is known, may be that of one that "
    "came after it, and is inconsistent", bitmap);

  return parts_not_recording (disk, checkpoint, layer, why, REASON_NO_WAY,
                              REMEDY_FULL_BACKUP, error);
}
