/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Each image is opened twice: read-only, so that all can be compared and
 * refused before the first byte is written, and then, by blockdev-reopen,
 * for writing.  When it is made read-only again QEMU stores the bitmaps, and
 * says if it cannot, which it does not do when a node is deleted (QEMU 7.2,
 * qcow2_inactivate).
 *
 * Files are handed over as descriptors, so that QEMU opens those that were
 * looked at, whatever their names lead to by now.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/child.h"
#include "base/error.h"
#include "image/layer.h"
#include "nbd/life.h"
#include "qemu/storage-describe.h"
#include "qemu/storage-nodes.h"
#include "qemu/storage-writer.h"

/* For one image: its bitmaps may have gigabytes, and its disk be slow. */
#define STORE_SECONDS 900
#define END_MS (120 * 1000)
#define READERS_MS 2000

struct StorageWriter {
  Child child;
  NbdLife *life;
  Qmp *qmp;
  GPtrArray *places;            /* of StoragePlace */
  bool begun;                   /* our locks are released */
};

static Layer *
layer_at (const StoragePlace *place)
{
  return g_ptr_array_index (place->disk->layers, place->layer);
}

static void
pass_file (ImageFile *file, GArray *fds)
{
  if (!file)
    return;
  file->daemon_fd = CHILD_FD (fds->len);
  g_array_append_val (fds, file->fd);
}

/* True for the first place of its disk. */
static bool
begins_disk (const GPtrArray *places, guint index)
{
  const StoragePlace *place = g_ptr_array_index (places, index);

  for (guint i = 0; i < index; i++)
    if (((StoragePlace *) g_ptr_array_index (places, i))->disk == place->disk)
      return false;
  return true;
}

/* Numbers of descriptors go to who will name them. */
static GArray *
pass_all (const GPtrArray *places)
{
  GArray *fds = g_array_new (FALSE, FALSE, sizeof (int));

  for (guint i = 0; i < places->len; i++) {
    const StoragePlace *place = g_ptr_array_index (places, i);
    const GPtrArray *secrets = place->disk->secrets;
    pass_file (layer_at (place)->file, fds);
    pass_file (layer_at (place)->data, fds);
    for (guint j = 0; secrets && begins_disk (places, i) && j < secrets->len;
         j++) {
      const int fd = secret_pass (g_ptr_array_index (secrets, j),
                                  CHILD_FD (fds->len));
      g_array_append_val (fds, fd);
    }
  }
  return fds;
}

static bool
start (StorageWriter *writer, GError **error)
{
  static const char *const argv[] = {
    "qemu-storage-daemon",
    "--chardev", "stdio,id=qmp", "--monitor", "chardev=qmp", NULL
  };
  g_autoptr (GArray) fds = pass_all (writer->places);

  if (!child_start (argv, &g_array_index (fds, int, 0), fds->len, CHILD_SAVES,
                    &writer->child, error))
    return false;
  writer->qmp = qmp_new ("the private qemu-storage-daemon", writer->child.out,
                         writer->child.in, writer->life, error);
  if (writer->qmp)
    qmp_set_patience (writer->qmp, STORE_SECONDS);
  return writer->qmp != NULL;
}

static bool
refuse_remote (void *opaque G_GNUC_UNUSED, const char *node G_GNUC_UNUSED,
               guint8 *bytes G_GNUC_UNUSED, gsize *length G_GNUC_UNUSED,
               GError **error)
{
  return error_set (error, ENOTSUP, "bitmaps are changed in local files and "
                    "block devices only, for nothing locks another");
}

static bool
open_place (StorageWriter *writer, guint index, GError **error)
{
  StoragePlace *place = g_ptr_array_index (writer->places, index);
  const StorageNodes nodes = {
    .qmp = writer->qmp, .disk = place->disk, .apart = true,
    .writes = place->writes, .read = refuse_remote,
  };
  GError *refusal = NULL;

  if (!layer_at (place)->file) {
    refuse_remote (NULL, NULL, NULL, NULL, error);
    g_prefix_error (error, "disk %s: %s: ", place->disk->target,
                    layer_at (place)->path);
    return false;
  }
  if (!begins_disk (writer->places, index)
      || storage_nodes_add_secrets (&nodes, &refusal))
    place->options = storage_nodes_open_apart (&nodes, place->layer, &refusal);
  if (!refusal)
    return true;
  /* It was locked since it was looked at, where there are locks. */
  if (refusal->code == EBUSY)
    refusal->code = EAGAIN;
  g_prefix_error (&refusal, "disk %s: ", place->disk->target);
  g_propagate_error (error, refusal);
  return false;
}

/* Neither is more than a word of the file's: its lock, and by what it is
 * named.
 */
static void
for_all_files (const StorageWriter *writer, void (*what) (ImageFile *file))
{
  for (guint i = 0; i < writer->places->len; i++) {
    const Layer *layer = layer_at (g_ptr_array_index (writer->places, i));
    if (layer->file)
      what (layer->file);
    if (layer->data)
      what (layer->data);
  }
}

static void
name_again (ImageFile *file)
{
  file->daemon_fd = 0;
}

static bool
check_file (const ImageFile *file, GError **error)
{
  return !file || (image_file_check_writable (file, error)
                   && image_file_check_alone (file, error));
}

static bool
check_files (const StorageWriter *writer, GError **error)
{
  for (guint i = 0; i < writer->places->len; i++) {
    const StoragePlace *place = g_ptr_array_index (writer->places, i);
    const Layer *layer = layer_at (place);
    if (!place->writes || (check_file (layer->file, error)
                           && check_file (layer->data, error)))
      continue;
    g_prefix_error (error, "disk %s: ", place->disk->target);
    return false;
  }
  return true;
}

/* Who only looks, as list and check do, is ready in a moment; and of two who
 * wait for each other, one gives up first.
 */
static bool
wait_for_files (const StorageWriter *writer, GError **error)
{
  const gint64 deadline = g_get_monotonic_time ()
    + g_random_int_range (READERS_MS / 2, READERS_MS)
      * G_TIME_SPAN_MILLISECOND;

  for (;;) {
    g_autoptr (GError) failure = NULL;
    if (check_files (writer, &failure))
      return true;
    if (failure->code != EBUSY || g_get_monotonic_time () > deadline) {
      g_propagate_error (error, g_steal_pointer (&failure));
      return false;
    }
    g_usleep (20 * G_TIME_SPAN_MILLISECOND);
  }
}

StorageWriter *
storage_writer_start (GPtrArray *places, GError **error)
{
  StorageWriter *writer = g_new0 (StorageWriter, 1);

  writer->child = (Child) CHILD_INIT;
  writer->places = places;
  /* What is begun is ended, whatever we are told. */
  writer->life = nbd_life_new (NULL, 0);
  bool ok = wait_for_files (writer, error) && start (writer, error);
  for (guint i = 0; ok && i < places->len; i++)
    ok = open_place (writer, i, error);
  if (ok)
    return writer;
  storage_writer_stop (writer, NULL);
  return NULL;
}

static JsonObject *
options_copy (const StoragePlace *place, bool writable)
{
  JsonObject *copy = json_object_new ();
  g_autoptr (GList) names = json_object_get_members (place->options);

  for (const GList *item = names; item; item = item->next)
    json_object_set_member (copy, item->data, json_node_copy (
                              json_object_get_member (place->options,
                                                      item->data)));
  json_object_set_boolean_member (copy, "read-only", !writable);
  return copy;
}

/* QEMU reopens all of options, or none. */
static bool
reopen (StorageWriter *writer, JsonArray *options, GError **error)
{
  JsonObject *arguments = json_object_new ();
  GError *refusal = NULL;

  json_object_set_array_member (arguments, "options", options);
  if (qmp_execute (writer->qmp, "blockdev-reopen", arguments, NULL, &refusal))
    return true;
  if (strstr (refusal->message, "No space left")
      || strstr (refusal->message, "quota exceeded"))
    refusal->code = ENOSPC;
  if (strstr (refusal->message, "Failed to get"))
    refusal->code = EBUSY;
  g_propagate_error (error, refusal);
  return false;
}

static bool
reopen_one (StorageWriter *writer, StoragePlace *place, bool writable,
            GError **error)
{
  JsonArray *options = json_array_new ();

  json_array_add_object_element (options, options_copy (place, writable));
  if (!reopen (writer, options, error)) {
    g_prefix_error (error, "%s: ", layer_at (place)->path);
    return false;
  }
  place->writable = writable;
  return true;
}

/* Of read-only nodes QEMU keeps the lock itself, so nobody was between us. */
bool
storage_writer_begin (StorageWriter *writer, GError **error)
{
  JsonArray *options = json_array_new ();
  GError *refusal = NULL;

  for (guint i = 0; i < writer->places->len; i++) {
    const StoragePlace *place = g_ptr_array_index (writer->places, i);
    if (place->writes)
      json_array_add_object_element (options, options_copy (place, true));
  }
  for_all_files (writer, image_file_unlock);
  writer->begun = true;
  if (!reopen (writer, options, &refusal)) {
    if (refusal->code == EBUSY) {
      g_prefix_error (&refusal, "another program uses one of the images: ");
      error_advise (&refusal, REMEDY_GUEST_RUNS, NULL);
    }
    g_propagate_error (error, refusal);
    return false;
  }
  for (guint i = 0; i < writer->places->len; i++) {
    StoragePlace *place = g_ptr_array_index (writer->places, i);
    place->writable = place->writes;
  }
  return true;
}

Qmp *
storage_writer_qmp (StorageWriter *writer)
{
  return writer->qmp;
}

bool
storage_writer_store (StorageWriter *writer, StoragePlace *place,
                      GError **error)
{
  return !place->writable || reopen_one (writer, place, false, error);
}

bool
storage_writer_resume (StorageWriter *writer, StoragePlace *place,
                       GError **error)
{
  return place->writable || !place->writes
    || reopen_one (writer, place, true, error);
}

bool
storage_writer_stop (StorageWriter *writer, GError **error)
{
  if (!writer)
    return true;
  const int pid = (int) writer->child.pid;
  qmp_free (writer->qmp);
  const bool ended = child_stop (&writer->child, END_MS);
  for_all_files (writer, name_again);
  if (writer->begun)
    for_all_files (writer, image_file_lock_again);
  for (guint i = 0; i < writer->places->len; i++) {
    StoragePlace *place = g_ptr_array_index (writer->places, i);
    g_clear_pointer (&place->options, json_object_unref);
  }
  nbd_life_free (writer->life);
  g_free (writer);
  return ended
    || error_set (error, ETIMEDOUT, "the private qemu-storage-daemon (process "
                  "%d) stores bitmaps still; do not kill it, which would make "
                  "them void: wait until it has ended", pid);
}
