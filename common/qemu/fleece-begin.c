/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * How a fleecing job is begun: scratch images, QEMU's NBD server on a socket of
 * ours, one transaction for all disks, and the exports.
 *
 * Facts: a backup job with sync=none copies what the guest is about to overwrite
 * into its target.  Where the target's backing image is the disk, QEMU makes such
 * copies wait for reads of the target that are under way (block/block-copy.c,
 * is_fleecing), so these never see what the guest writes.  The job's
 * preparation drains the disk until the transaction has ended (blockdev.c,
 * blockdev_backup_prepare of 7.2), so that all that comes after it in the
 * transaction is of the same instant, also where a disk has an iothread: jobs
 * first, bitmaps then.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/folder-access.h"
#include "base/json-text.h"
#include "qemu/fleece-kept.h"
#include "qemu/guest-disks.h"
#include "tree/store.h"

/* ── The folder and the server ── */

static bool
make_folder (KeptFleece *kept, GError **error)
{
  const char *path = kept->plan->folder;
  g_autofree char *socket = fleece_socket (kept->plan);
  g_autofree char *parent = g_path_get_dirname (path);

  if (strlen (socket) >= sizeof ((struct sockaddr_un *) NULL)->sun_path)
    return error_set (error, ENAMETOOLONG, "the path of QEMU's socket, %s, is "
                      "too long for Unix", socket)
      || error_advise (error, REMEDY_SOCKET_DIR, NULL);
  own_folder_sweep (parent, kept->user);
  if (!own_folder_make (&kept->folder, path, error))
    return error_advise (error, REMEDY_SOCKET_DIR, NULL);
  if (!own_folder_give (&kept->folder, kept->user, kept->group, error))
    return false;
  return kept->user == geteuid ()
    || folder_access ("QEMU's socket", path, kept->user, kept->group,
                      W_OK | X_OK, "that folder is made anew for each backup",
                      error)
    || error_advise (error, REMEDY_SOCKET_DIR_BY_GROUP, NULL);
}

static bool
start_server (const KeptFleece *kept, GError **error)
{
  g_autofree char *socket = fleece_socket (kept->plan);
  g_autoptr (GPtrArray) look = g_ptr_array_new ();
  g_autoptr (GPtrArray) stop = g_ptr_array_new ();
  g_autoptr (GError) why = NULL;
  JsonObject *arguments = json_object_new ();
  JsonObject *address = qmp_texts ("type", "unix", NULL);

  json_object_set_object_member (address, "data",
                                 qmp_texts ("path", socket, NULL));
  json_object_set_object_member (arguments, "addr", address);
  /* From 9.1 on, QEMU lets in a hundred if nothing is said, and lets others wait;
   * each disk takes several.
   */
  json_object_set_int_member (arguments, "max-connections", 0);
  if (qmp_execute (monitor_qmp (kept->monitor), "nbd-server-start", arguments,
                   NULL, &why))
    return true;
  if (!strstr (why->message, "already running"))
    return error_set (error, why->code, "QEMU cannot serve its disks at %s: %s",
                      socket, why->message)
      || error_advise (error, strstr (why->message, "ermission denied")
                       ? REMEDY_CONFINEMENT : REMEDY_SOCKET_DIR, NULL);
  /* Another of ours may have begun meanwhile, by a second monitor. */
  if (!fleece_clear_way (kept, error))
    return false;
  g_ptr_array_add (look, (gpointer) "{\"execute\": \"query-block-exports\"}");
  g_ptr_array_add (stop, (gpointer) "{\"execute\": \"nbd-server-stop\"}");
  g_autofree char *to_look = fleece_by_hand (kept->path, look);
  g_autofree char *to_stop = fleece_by_hand (kept->path, stop);
  return error_set (error, EBUSY, "the QEMU at %s has an NBD server already, of "
                    "another program's, and can have one only; to see what it "
                    "exports, type %s; if nobody reads there any more, stop it "
                    "with %s", kept->path, to_look, to_stop);
}

/* ── The transaction ── */

static void
add_job (JsonArray *actions, const KeptFleece *kept, guint index)
{
  const FleeceDisk *disk = g_ptr_array_index (kept->plan->disks, index);
  const char *mark = kept->plan->mark;
  g_autofree char *id = fleece_id (mark, disk->target);
  g_autofree char *image = fleece_node_name (mark, index, FLEECE_NODE_IMAGE);
  g_autofree char *filter = fleece_node_name (mark, index, FLEECE_NODE_FILTER);

  fleece_add_action (actions, "blockdev-backup",
                     qmp_texts ("job-id", id, "device", disk->node, "target",
                                image, "sync", "none", "filter-node-name",
                                filter, NULL));
}

static void
add_record (JsonArray *actions, const KeptFleece *kept, const FleeceDisk *disk)
{
  JsonObject *bitmap
    = qmp_texts ("node", disk->node, "name", kept->plan->create, NULL);

  json_object_set_boolean_member (bitmap, "persistent", true);
  fleece_add_action (actions, "block-dirty-bitmap-add", bitmap);
}

static bool
run_transaction (KeptFleece *kept, GError **error)
{
  const GPtrArray *disks = kept->plan->disks;
  JsonObject *arguments = json_object_new ();
  JsonArray *actions = json_array_new ();

  for (guint i = 0; i < disks->len; i++)
    add_job (actions, kept, i);
  for (guint i = 0; i < disks->len; i++) {
    const FleeceDisk *disk = g_ptr_array_index (disks, i);
    if (disk->since)
      fleece_freeze_disk (actions, kept, i);
    if (disk->record)
      add_record (actions, kept, disk);
  }
  json_object_set_array_member (arguments, "actions", actions);
  g_autoptr (GError) why = NULL;
  kept->begun = qmp_execute (monitor_qmp (kept->monitor), "transaction",
                             arguments, NULL, &why);
  if (kept->begun)
    return true;
  kept->begun = why->code != EINVAL; /* it may have, if it was not heard */
  return error_set (error, why->code, "QEMU at %s cannot begin the backup: %s",
                    kept->path, why->message);
}

/* ── What it is then ── */

static const Disk *
disk_on (const GPtrArray *disks, const char *node)
{
  for (guint i = 0; i < disks->len; i++) {
    const Disk *disk = g_ptr_array_index (disks, i);
    if (g_strcmp0 (disk_layer (disk, 0)->node, node) == 0)
      return disk;
  }
  return NULL;
}

/* From here on jobs keep images where they are; what another program has changed
 * since the plan was made was before.
 */
static bool
check_unchanged (const KeptFleece *kept, GError **error)
{
  g_autoptr (GPtrArray) now = guest_disks_look (kept->monitor, error);

  for (guint i = 0; now && i < kept->plan->disks->len; i++) {
    const FleeceDisk *wanted = g_ptr_array_index (kept->plan->disks, i);
    const Disk *disk = disk_on (now, wanted->node);
    g_autofree char *state
      = disk ? fleece_state (disk, kept->plan->create) : NULL;
    if (g_strcmp0 (state, wanted->state) != 0)
      return error_set (error, EAGAIN, "disk %s: its images or bitmaps have "
                        "changed since they were looked at, by a snapshot or by "
                        "another program; try again", wanted->target);
  }
  return now != NULL;
}

/* Can the document be written, once it has to be? */
static bool
check_document (const KeptFleece *kept, GError **error)
{
  const Fleece *plan = kept->plan;

  if (!plan->document)
    return true;
  g_autoptr (Store) store = store_open (plan->tree, plan->inner, error);
  return store && store_check (store, NULL, error);
}

static bool
begin_steps (KeptFleece *kept, GError **error)
{
  const guint count = kept->plan->disks->len;
  guint64 used;
  const char *tightest;
  bool ok = fleece_clear_way (kept, error) && check_document (kept, error)
    && make_folder (kept, error);

  kept->telling->life = JOB_BEGINNING;
  for (guint i = 0; ok && i < count; i++)
    ok = fleece_make_scratch (kept, i, error)
      && fleece_make_parts (kept, i, error);
  ok = ok && start_server (kept, error) && run_transaction (kept, error)
    && check_unchanged (kept, error);
  for (guint i = 0; ok && i < count; i++)
    ok = fleece_export_disk (kept, i, error);
  if (ok)
    fleece_scratch_use (kept, &used, &kept->watched.room, &tightest);
  return ok;
}

bool
fleece_begin_all (KeptFleece *kept, GError **error)
{
  g_autoptr (GError) refusal = NULL, trouble = NULL;

  if (begin_steps (kept, &refusal)) {
    kept->telling->life = JOB_RUNNING;
    return true;
  }
  if (fleece_end (kept, false, &trouble))
    g_propagate_error (error, g_steal_pointer (&refusal));
  else
    error_set_both (error, refusal, trouble);
  return false;
}
