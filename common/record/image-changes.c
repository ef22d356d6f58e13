/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * All that can be refused is refused before QEMU writes the first byte.
 * Then one transaction changes all bitmaps in QEMU's memory, and they are
 * stored image by image, which may fail half-way: what was added is taken
 * back everywhere then; what was removed stays so, and the others are stored
 * where they had been.  What is there in the end, a daemon that reads only
 * tells.
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
#include "record/image-work.h"

/* How long it is waited for room in a full file system. */
#define ROOM_SECONDS 600

typedef struct {
  ImageWork image;
  const Reporter *reporter;
  StorageWriter *writer;
  bool begun;                   /* QEMU may have written */
} Work;

/* Where there are no locks, others may have written. */
static bool
check_unchanged (const Work *work, GError **error)
{
  Qmp *qmp = storage_writer_qmp (work->writer);

  for (guint i = 0; i < work->image.places->len; i++) {
    const StoragePlace *place = g_ptr_array_index (work->image.places, i);
    g_autoptr (Layer) found
      = storage_nodes_bitmaps (qmp, place->disk, place->layer, error);
    g_autofree char *difference = !found ? NULL
      : bitmap_difference (g_ptr_array_index (work->image.before, i), found);
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

  for (guint i = 0; i < work->image.places->len; i++) {
    const StoragePlace *place = g_ptr_array_index (work->image.places, i);
    if (!place->writes)
      continue;
    g_ptr_array_add (layers, (gpointer) image_work_layer (place));
    g_ptr_array_add (after, g_ptr_array_index (work->image.after, i));
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

/* A full file system may have room again, and QEMU has the bitmaps in memory
 * still; given up, all of the image are void.
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
                     place->disk->target, image_work_layer (place)->path,
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

  for (guint i = 0; i < work->image.places->len; i++) {
    StoragePlace *place = g_ptr_array_index (work->image.places, i);
    ok = store_firmly (work, place, ok ? error : NULL) && ok;
  }
  return ok;
}

/* What was added is removed again, where it has been stored, too. */
static void
take_back (const Work *work)
{
  g_autoptr (GPtrArray) back = bitmap_changes_new ();

  for (guint i = 0; i < work->image.changes->len; i++) {
    const BitmapChange *change = g_ptr_array_index (work->image.changes, i);
    StoragePlace *place
      = image_work_place (&work->image, change->disk, change->layer);
    if (storage_writer_resume (work->writer, place, NULL))
      bitmap_changes_add (back, BITMAP_REMOVE, change->disk, change->layer,
                          change->name);
  }
  run (work, back, NULL);
}

/* Of a checkpoint that cannot be on all disks, nothing stays on any. */
static bool
store_or_take_back (const Work *work, GError **error)
{
  GError *failure = NULL;
  bool ok = true;

  for (guint i = 0; ok && i < work->image.places->len; i++)
    ok = storage_writer_store (work->writer,
                               g_ptr_array_index (work->image.places, i),
                               &failure);
  if (ok)
    return true;
  if (failure->code != EIO) {
    take_back (work);
    store_all (work, NULL);
  }
  g_propagate_error (error, failure);
  return false;
}

static bool
write_all (const Work *work, GError **error)
{
  /* QEMU has done none of it then, and what is there by a name of ours is
   * others'.
   */
  if (!run (work, work->image.changes, error)) {
    store_all (work, NULL);
    return false;
  }
  return work->image.only_adds ? store_or_take_back (work, error)
    : store_all (work, error);
}

static bool
write_changes (Work *work, GError **error)
{
  GError *failure = NULL;

  work->writer = storage_writer_start (work->image.places, error);
  if (!work->writer)
    return false;
  work->begun = check_unchanged (work, &failure)
    && check_space (work, &failure);
  const bool ok = work->begun
    && storage_writer_begin (work->writer, &failure)
    && write_all (work, &failure);
  const bool ended
    = storage_writer_stop (work->writer, failure ? NULL : &failure);
  if (failure)
    g_propagate_error (error, failure);
  return ok && ended;
}

/* The bitmaps of all disks as they are now. */
static bool
look_again (const Work *work, GError **error)
{
  g_autoptr (NbdLife) life = nbd_life_new (NULL, 0);
  StorageDaemon *daemon = storage_daemon_start (life, work->image.disks, error);
  bool ok = daemon != NULL;

  for (guint i = 0; ok && i < work->image.disks->len; i++)
    ok = storage_daemon_open (daemon, g_ptr_array_index (work->image.disks, i),
                              false, error);
  storage_daemon_stop (daemon);
  return ok;
}

/* Add to the failure what became of the images. */
static bool
tell_failure (const Work *work, const GError *failure, GError **error)
{
  g_autoptr (GError) why = NULL;
  const bool seen = !work->begun || look_again (work, &why);
  g_autofree char *differences = seen
    ? image_work_differences (&work->image, work->image.before) : NULL;

  if (differences)
    error_set (error, EIO, "%s; now %s", failure->message, differences);
  else
    error_set (error, failure->code, "%s; %s%s", failure->message,
               seen ? "nothing was changed" : "what is in the images now could "
               "not be seen: ", seen ? "" : why->message);
  return error_advise_as (error, failure);
}

/* Once it has written, or tried. */
static bool
look_after (const Work *work, const GError *failure, GError **error)
{
  if (failure)
    return tell_failure (work, failure, error);
  /* Else somebody was faster, who may: QEMU has said that it has stored
   * them.
   */
  if (!look_again (work, NULL))
    return true;
  g_autofree char *differences
    = image_work_differences (&work->image, work->image.after);
  return !differences
    || error_set (error, EIO, "QEMU has changed the images, but %s",
                  differences);
}

bool
image_changes_apply (const GPtrArray *disks, const GPtrArray *changes,
                     const Reporter *reporter, GError **error)
{
  Work work = { .reporter = reporter };
  g_autoptr (GError) failure = NULL;
  bool ok = image_work_init (&work.image, disks, changes, error);

  if (ok && changes->len > 0) {
    image_work_unlock_twins (&work.image);
    write_changes (&work, &failure);
    image_work_lock_twins (&work.image);
    ok = look_after (&work, failure, error);
  }
  image_work_clear (&work.image);
  return ok;
}
