/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * All that can be refused is refused before QEMU writes the first byte.  Then one
 * transaction changes all bitmaps in QEMU's memory, and they are stored image by
 * image, which may fail half-way: what was added is taken back everywhere then;
 * what was removed stays so, and the others are stored where they had been.  What
 * is there in the end, a daemon that reads only tells.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "qemu/storage-daemon.h"
#include "qemu/storage-describe.h"
#include "qemu/storage-nodes.h"
#include "qemu/storage-writer.h"
#include "record/bitmap-outcome.h"
#include "record/bitmap-space.h"
#include "record/bitmap-transaction.h"
#include "record/image-changes.h"

/* How long it is waited for room in a full file system. */
#define ROOM_SECONDS 600

typedef struct {
  const Reporter *reporter;
  GPtrArray *places;            /* of StoragePlace */
  GPtrArray *changes;           /* of BitmapChange: each file's once */
  GPtrArray *before, *after;    /* of Layer, by place */
  bool only_adds;
  StorageWriter *writer;
} Work;

static const Layer *
layer_of (const StoragePlace *place)
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
    const ImageFile *other = layer_of (place)->file;
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
        && other->from_layer == change->from_layer)
      return true;
  }
  return false;
}

static void
add_change (Work *work, const BitmapChange *change)
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

/* QEMU forgets void bitmaps when it writes, and with them, that a record was lost.
 * A new one on top begins a new record.
 */
static bool
check_place (const Work *work, const StoragePlace *place, GError **error)
{
  const Layer *layer = layer_of (place);

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
  return true;
}

static bool
work_init (Work *work, const GPtrArray *changes, GError **error)
{
  bool ok = true;

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
    g_ptr_array_add (work->before,
                     bitmap_outcome (NULL, place->disk, place->layer));
    g_ptr_array_add (work->after,
                     bitmap_outcome (work->changes, place->disk, place->layer));
  }
  return ok;
}

static void
work_clear (Work *work)
{
  g_ptr_array_unref (work->places);
  g_ptr_array_unref (work->changes);
  g_ptr_array_unref (work->before);
  g_ptr_array_unref (work->after);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Work, work_clear)

/* Where there are no locks, others may have written. */
static bool
check_unchanged (const Work *work, GError **error)
{
  Qmp *qmp = storage_writer_qmp (work->writer);

  for (guint i = 0; i < work->places->len; i++) {
    const StoragePlace *place = g_ptr_array_index (work->places, i);
    g_autoptr (Layer) found
      = storage_nodes_bitmaps (qmp, place->disk, place->layer, error);
    g_autofree char *difference = !found ? NULL
      : bitmap_difference (g_ptr_array_index (work->before, i), found);
    if (!found)
      return false;
    if (difference)
      return error_set (error, EAGAIN, "disk %s: in %s %s now, which was "
                        "otherwise a moment ago; try again",
                        place->disk->target, found->path, difference);
  }
  return true;
}

static bool
check_space (const Work *work, GError **error)
{
  g_autoptr (GPtrArray) layers = g_ptr_array_new ();
  g_autoptr (GPtrArray) after = g_ptr_array_new ();

  for (guint i = 0; i < work->places->len; i++) {
    const StoragePlace *place = g_ptr_array_index (work->places, i);
    if (!place->writes)
      continue;
    g_ptr_array_add (layers, (gpointer) layer_of (place));
    g_ptr_array_add (after, g_ptr_array_index (work->after, i));
  }
  return bitmap_space_check (layers, after, error);
}

static char *
node_name (void *opaque G_GNUC_UNUSED, const Disk *disk, guint layer)
{
  return storage_node_name (disk, layer);
}

static bool
run (const Work *work, const GPtrArray *changes, GError **error)
{
  return bitmap_transaction_run (storage_writer_qmp (work->writer), changes,
                                 node_name, NULL, error);
}

/* A full file system may have room again, and QEMU has the bitmaps in memory still;
 * given up, all of the image are void.
 */
static bool
store_firmly (const Work *work, StoragePlace *place, GError **error)
{
  const gint64 deadline
    = g_get_monotonic_time () + ROOM_SECONDS * G_TIME_SPAN_SECOND;
  g_autoptr (GError) failure = NULL;
  bool warned = false;

  while (!storage_writer_store (work->writer, place,
                                (g_clear_error (&failure), &failure))) {
    if (failure->code != ENOSPC || g_get_monotonic_time () > deadline) {
      g_propagate_error (error, g_steal_pointer (&failure));
      return false;
    }
    if (!warned)
      reporter_warn (work->reporter, "disk %s: %s: there is no space left for "
                     "its bitmaps, which are in memory only, and lost if that "
                     "is all; make room within %u seconds, and do not end this",
                     place->disk->target, layer_of (place)->path,
                     ROOM_SECONDS);
    warned = true;
    g_usleep (G_USEC_PER_SEC / 2);
  }
  return true;
}

/* Of all, also if one fails: the others are not to be lost. */
static bool
store_all (const Work *work, GError **error)
{
  bool ok = true;

  for (guint i = 0; i < work->places->len; i++) {
    StoragePlace *place = g_ptr_array_index (work->places, i);
    ok = store_firmly (work, place, ok ? error : NULL) && ok;
  }
  return ok;
}

/* What was added is removed again, where it has been stored, too. */
static void
take_back (const Work *work)
{
  g_autoptr (GPtrArray) back = bitmap_changes_new ();

  for (guint i = 0; i < work->changes->len; i++) {
    const BitmapChange *change = g_ptr_array_index (work->changes, i);
    StoragePlace *place
      = place_of (work->places, change->disk, change->layer);
    if (storage_writer_resume (work->writer, place, NULL))
      bitmap_changes_add (back, BITMAP_REMOVE, change->disk, change->layer,
                          change->name);
  }
  run (work, back, NULL);
}

static bool
write_all (const Work *work, GError **error)
{
  GError *failure = NULL;
  bool ok = run (work, work->changes, &failure);

  if (ok && !work->only_adds)
    return store_all (work, error);
  for (guint i = 0; ok && i < work->places->len; i++)
    ok = storage_writer_store (work->writer,
                               g_ptr_array_index (work->places, i), &failure);
  if (ok)
    return true;
  if (work->only_adds && failure->code != EIO)
    take_back (work);
  store_all (work, NULL);
  g_propagate_error (error, failure);
  return false;
}

static bool
write_changes (Work *work, GError **error)
{
  GError *failure = NULL;

  work->writer = storage_writer_start (work->places, error);
  if (!work->writer)
    return false;
  const bool ok = check_unchanged (work, &failure)
    && check_space (work, &failure)
    && storage_writer_begin (work->writer, &failure)
    && write_all (work, &failure);
  const bool ended
    = storage_writer_stop (work->writer, failure ? NULL : &failure);
  if (failure)
    g_propagate_error (error, failure);
  return ok && ended;
}

/* The bitmaps of all disks that were written to, as they are now. */
static bool
look_again (const Work *work, GError **error)
{
  g_autoptr (GPtrArray) disks = g_ptr_array_new ();
  g_autoptr (NbdLife) life = nbd_life_new (NULL, 0);

  for (guint i = 0; i < work->places->len; i++) {
    const StoragePlace *place = g_ptr_array_index (work->places, i);
    if (!g_ptr_array_find (disks, place->disk, NULL))
      g_ptr_array_add (disks, place->disk);
  }
  StorageDaemon *daemon = storage_daemon_start (life, disks, error);
  bool ok = daemon != NULL;
  for (guint i = 0; ok && i < disks->len; i++)
    ok = storage_daemon_open (daemon, g_ptr_array_index (disks, i), false,
                              error);
  storage_daemon_stop (daemon);
  return ok;
}

/* What of it is not as it was to be, for a message; NULL: nothing. */
static char *
tell_differences (const Work *work, const GPtrArray *expected)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < work->places->len; i++) {
    const StoragePlace *place = g_ptr_array_index (work->places, i);
    const Layer *found = layer_of (place);
    g_autofree char *difference
      = bitmap_difference (g_ptr_array_index (expected, i), found);
    if (difference)
      g_string_append_printf (text, "%sin %s %s", text->len > 0 ? "; " : "",
                              found->path, difference);
  }
  return text->len > 0 ? g_strdup (text->str) : NULL;
}

/* Add to the failure what became of the images. */
static bool
tell_failure (const Work *work, const GError *failure, GError **error)
{
  g_autoptr (GError) why = NULL;
  const bool seen = look_again (work, &why);
  g_autofree char *differences
    = seen ? tell_differences (work, work->before) : NULL;

  if (differences)
    error_set (error, EIO, "%s; now %s", failure->message, differences);
  else
    error_set (error, failure->code, "%s; %s%s", failure->message,
               seen ? "nothing was changed" : "what is in the images now could "
               "not be seen: ", seen ? "" : why->message);
  return error_advise_as (error, failure);
}

bool
image_changes_apply (const GPtrArray *changes, const Reporter *reporter,
                     GError **error)
{
  g_auto (Work) work = { .reporter = reporter };
  g_autoptr (GError) failure = NULL;

  if (!work_init (&work, changes, error))
    return false;
  if (work.places->len == 0)
    return true;
  if (!write_changes (&work, &failure))
    return tell_failure (&work, failure, error);
  /* Else somebody was faster, who may: QEMU has said that it has stored them. */
  if (!look_again (&work, NULL))
    return true;
  g_autofree char *differences = tell_differences (&work, work.after);
  return !differences
    || error_set (error, EIO, "QEMU has changed the images, but %s",
                  differences);
}
