/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "image/layer.h"
#include "image/unlocked.h"
#include "record/bitmap-outcome.h"
#include "record/image-work.h"

const Layer *
image_work_layer (const StoragePlace *place)
{
  return disk_layer (place->disk, place->layer);
}

/* Two disks may share an image, which QEMU can open for writing once. */
static StoragePlace *
place_of (GPtrArray *places, const Disk *disk, guint layer)
{
  const ImageFile *file = disk_layer (disk, layer)->file;

  for (guint i = 0; i < places->len; i++) {
    StoragePlace *place = g_ptr_array_index (places, i);
    const ImageFile *other = image_work_layer (place)->file;
    if ((place->disk == disk && place->layer == layer)
        || (file && other && image_file_is_same (file, other)))
      return place;
  }
  StoragePlace *place = g_new0 (StoragePlace, 1);
  place->disk = (Disk *) disk;
  place->layer = layer;
  g_ptr_array_add (places, place);
  return place;
}

static bool
is_known (const GPtrArray *changes, const BitmapChange *change)
{
  for (guint i = 0; i < changes->len; i++) {
    const BitmapChange *other = g_ptr_array_index (changes, i);
    if (other->action == change->action && other->disk == change->disk
        && other->layer == change->layer
        && strcmp (other->name, change->name) == 0
        && g_strcmp0 (other->from, change->from) == 0
        && other->from_layer == change->from_layer
        && other->granularity == change->granularity
        && other->recording == change->recording)
      return true;
  }
  return false;
}

static void
add_change (ImageWork *work, const BitmapChange *change)
{
  StoragePlace *place = place_of (work->places, change->disk, change->layer);
  g_autoptr (GPtrArray) one = bitmap_changes_new ();
  BitmapChange *copy = bitmap_changes_add (one, change->action, place->disk,
                                           place->layer, change->name);

  copy->from = g_strdup (change->from);
  copy->granularity = change->granularity;
  copy->recording = change->recording;
  if (change->action == BITMAP_MERGE)
    copy->from_layer
      = place_of (work->places, change->disk, change->from_layer)->layer;
  place->writes = true;
  work->only_adds = work->only_adds && change->action == BITMAP_ADD;
  if (!is_known (work->changes, copy))
    g_ptr_array_add (work->changes, g_ptr_array_steal_index (one, 0));
}

/* An image that is made writable again is not repaired, and QEMU would take
 * clusters that are in use for the bitmaps (QEMU 7.2, qcow2_reopen_prepare
 * beside qcow2_do_open), nor does it give up what it does not know.
 */
static bool
check_closed (const StoragePlace *place, GError **error)
{
  const Layer *layer = image_work_layer (place);

  if (layer->unclean) {
    image_refuse_with (error, EINVAL, "check -f qcow2 -r all", layer->path,
                       "disk %s: %s was not closed by who wrote to it last, so "
                       "it must be repaired before its bitmaps are changed; to "
                       "do that,", place->disk->target, layer->path);
    return false;
  }
  return !layer->unknown_autoclear
    || error_set (error, ENOTSUP, "disk %s: %s has a feature that is unknown "
                  "here, and ends if it is written to", place->disk->target,
                  layer->path);
}

/* QEMU forgets void bitmaps when it writes, and with them, that a record was
 * lost.  A new one on top begins a new record.
 */
static bool
check_place (const ImageWork *work, const StoragePlace *place, GError **error)
{
  const Layer *layer = image_work_layer (place);

  if (!place->writes)
    return true;
  if (!layer->file)
    return error_set (error, ENOTSUP, "disk %s: bitmaps are changed in local "
                      "files and block devices only, and %s cannot be locked "
                      "against a guest", place->disk->target, layer->path);
  if (strcmp (layer->format, "qcow2") != 0)
    return error_set (error, ENOTSUP, "disk %s: %s is %s, and only qcow2 holds "
                      "dirty bitmaps", place->disk->target, layer->path,
                      layer->format);
  if (layer->void_bitmaps && !(work->only_adds && place->layer == 0))
    return error_set (error, ENOTSUP, "disk %s: %s has bitmaps that are void "
                      "(%s), and QEMU would drop that sign if it wrote to the "
                      "image; make a full backup, with a new checkpoint",
                      place->disk->target, layer->path, layer->void_bitmaps);
  return check_closed (place, error);
}

static void
find_twins (ImageWork *work, ImageFile *file, ImageFile *other)
{
  if (file && other && file != other && image_file_is_same (file, other)
      && !g_ptr_array_find (work->twins, other, NULL))
    g_ptr_array_add (work->twins, other);
}

static void
find_all_twins (ImageWork *work, const StoragePlace *place)
{
  const Layer *layer = image_work_layer (place);

  for (guint i = 0; i < work->disks->len; i++) {
    const Disk *disk = g_ptr_array_index (work->disks, i);
    for (guint j = 0; j < disk->layers->len; j++) {
      find_twins (work, layer->file, disk_layer (disk, j)->file);
      find_twins (work, layer->data, disk_layer (disk, j)->data);
    }
  }
}

bool
image_work_init (ImageWork *work, const GPtrArray *disks,
                 const GPtrArray *changes, GError **error)
{
  bool ok = true;

  *work = (ImageWork) { .disks = disks };
  work->twins = g_ptr_array_new ();
  work->places = g_ptr_array_new_with_free_func (g_free);
  work->changes = bitmap_changes_new ();
  work->before = g_ptr_array_new_with_free_func ((GDestroyNotify) layer_free);
  work->after = g_ptr_array_new_with_free_func ((GDestroyNotify) layer_free);
  work->only_adds = true;
  for (guint i = 0; i < changes->len; i++)
    add_change (work, g_ptr_array_index (changes, i));
  for (guint i = 0; ok && i < work->places->len; i++) {
    const StoragePlace *place = g_ptr_array_index (work->places, i);
    ok = check_place (work, place, error);
    find_all_twins (work, place);
    g_ptr_array_add (work->before,
                     bitmap_outcome (NULL, place->disk, place->layer));
    g_ptr_array_add (work->after,
                     bitmap_outcome (work->changes, place->disk, place->layer));
  }
  return ok;
}

void
image_work_clear (ImageWork *work)
{
  g_ptr_array_unref (work->twins);
  g_ptr_array_unref (work->places);
  g_ptr_array_unref (work->changes);
  g_ptr_array_unref (work->before);
  g_ptr_array_unref (work->after);
}

StoragePlace *
image_work_place (const ImageWork *work, const Disk *disk, guint layer)
{
  return place_of (work->places, disk, layer);
}

void
image_work_unlock_twins (const ImageWork *work)
{
  for (guint i = 0; i < work->twins->len; i++)
    image_file_unlock (g_ptr_array_index (work->twins, i));
}

void
image_work_lock_twins (const ImageWork *work)
{
  for (guint i = 0; i < work->twins->len; i++)
    image_file_lock_again (g_ptr_array_index (work->twins, i));
}

/* For who was interrupted may have left them so, and QEMU does not tell. */
static char *
difference_at (const StoragePlace *place, const Layer *expected)
{
  const Layer *found = image_work_layer (place);
  char *difference = bitmap_difference (expected, found);
  int unseen;
  const char *why = difference && expected->bitmaps->len > 0
    ? image_void_bitmap (found->path, ((const Bitmap *) g_ptr_array_index (
                                         expected->bitmaps, 0))->name,
                         false, &unseen) : NULL;

  if (!why)
    return difference;
  g_free (difference);
  return g_strdup_printf ("all bitmaps are void (%s)", why);
}

char *
image_work_differences (const ImageWork *work, const GPtrArray *expected)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < work->places->len; i++) {
    const StoragePlace *place = g_ptr_array_index (work->places, i);
    g_autofree char *difference
      = difference_at (place, g_ptr_array_index (expected, i));
    if (difference)
      g_string_append_printf (text, "%sin %s %s", text->len > 0 ? "; " : "",
                              image_work_layer (place)->path, difference);
  }
  return text->len > 0 ? g_strdup (text->str) : NULL;
}
