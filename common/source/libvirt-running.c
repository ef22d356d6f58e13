/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A running guest of libvirt's: what can be known without touching it, and
 * the backup job.  The job's server, export names and bitmaps are those that
 * libvirt tells of the job, and are tried before anything is served.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <libnbd.h>

#include "base/error.h"
#include "image/unlocked.h"
#include "nbd/connect.h"
#include "parts/refuse.h"
#include "source/libvirt.h"
#include "source/live-plan.h"
#include "tree/redefine.h"

Disk *
libvirt_add_disk (Source *source, const char *target, const char *path,
                  guint64 size)
{
  Disk *disk = disk_new (target);

  source_add_export (disk, path)->size = size;
  g_ptr_array_add (source->disks, disk);
  return disk;
}

bool
libvirt_look_only (LiveSource *self, GuestLook *look, GError **error)
{
  Source *source = &self->source;

  if (forest_size (look->tree) == 0)
    return error_set (error, ENOENT, "%s has no checkpoint, so nothing was "
                      "recorded", self->who)
      || error_advise (error, REMEDY_FIRST_CHECKPOINT, NULL);
  for (guint i = 0; i < look->guest->disks->len; i++) {
    const GuestDisk *disk = g_ptr_array_index (look->guest->disks, i);
    const guint64 *size = g_hash_table_lookup (look->sizes, disk->target);
    Disk *added = libvirt_add_disk (source, disk->target, self->who,
                                    size ? *size : 0);
    const GPtrArray *all = forest_all (look->tree);
    for (guint j = 0; j < all->len; j++) {
      const char *name
        = checkpoint_bitmap (g_ptr_array_index (all, j), disk->target);
      if (name && !layer_bitmap (disk_layer (added, 0), name))
        source_add_bitmap (added, name);
    }
  }
  source->offer = offer_new (g_steal_pointer (&look->tree), NULL, NULL);
  error_set (&source->look_only, EPERM, "%s is running and no backup was "
             "begun, so only names can be had", self->who);
  error_advise (&source->look_only, REMEDY_BEGIN_BACKUP, NULL);
  return true;
}

/* The checkpoint that the job is since, and its bitmap for each disk. */
static Forest *
job_forest (const Forest *tree, const char *since, const Backup *backup)
{
  if (!since) {
    Forest *none = forest_new ();
    forest_link (none);
    return none;
  }
  Checkpoint *checkpoint = checkpoint_new (since);
  for (guint i = 0; i < backup->disks->len; i++) {
    const BackupDisk *disk = g_ptr_array_index (backup->disks, i);
    if (disk->incremental)
      checkpoint_cover (checkpoint, disk->target, disk->export_bitmap);
  }
  return offer_single (checkpoint, forest_lookup (tree, since));
}

/* The job's forest knows one checkpoint only; why it does not cover the disk,
 * libvirt's tells.
 */
static void
add_refused (LiveSource *self, const LivePlan *plan, const char *target)
{
  const GError *why = g_hash_table_lookup (plan->useless, target);
  Disk *disk = libvirt_add_disk (&self->source, target, self->who, 0);

  if (why)
    disk->useless = g_error_copy (why);
  else
    parts_not_covered (plan->look->tree, disk, plan->request->checkpoint,
                       &disk->useless);
}

static char *
export_uri (const LiveSource *self, const Backup *backup,
            const char *export_name)
{
  g_autofree char *name = g_uri_escape_string (export_name, NULL, FALSE);

  if (backup->socket)
    return live_unix_uri (backup->socket, export_name);
  g_autofree char *folder = self->certificates
    ? g_uri_escape_string (self->certificates, "/", FALSE) : NULL;
  const bool is_ipv6 = strchr (backup->host, ':') != NULL;
  return g_strdup_printf ("%s://%s%s%s:%u/%s%s%s",
                          backup->tls ? "nbds" : "nbd", is_ipv6 ? "[" : "",
                          backup->host, is_ipv6 ? "]" : "", backup->port,
                          name, folder ? "?tls-certificates=" : "",
                          folder ? folder : "");
}

static bool
connect_disks (LiveSource *self, const Backup *backup, GError **error)
{
  g_autoptr (GPtrArray) exports = live_exports_new ();

  for (guint i = 0; i < backup->disks->len; i++) {
    const BackupDisk *disk = g_ptr_array_index (backup->disks, i);
    g_autofree char *name = export_uri (self, backup, disk->export_name);
    live_exports_add (exports, disk->target, name,
                      disk->incremental ? disk->export_bitmap : NULL);
  }
  return live_connect (self, exports, error);
}

/* Connect while the job is proved to live.  If it does not, that is the reason.  A
 * QEMU that was silent is waited for longer by the proof than by who connects.
 */
static bool
connect_if_it_lives (LiveSource *self, const Backup *backup, GError **error)
{
  g_autoptr (GError) refusal = NULL;
  const bool connected = connect_disks (self, backup, &refusal);

  if (!guest_job_lives (self->keeper, error))
    return false;
  if (!connected && refusal->code == ETIMEDOUT)
    return connect_disks (self, backup, error);
  if (!connected)
    g_propagate_error (error, g_steal_pointer (&refusal));
  return connected;
}

/* Can what was begun be served?  If not, the keeper undoes it. */
static bool
serve_job (LiveSource *self, LivePlan *plan, const Backup *backup,
           GError **error)
{
  Source *source = &self->source;
  const char *since = plan->request->checkpoint;

  if (!connect_if_it_lives (self, backup, error))
    return false;
  /* Known, though refused, so that a client who asks learns why. */
  for (guint i = 0; i < plan->refused->len; i++)
    add_refused (self, plan, g_ptr_array_index (plan->refused, i));
  Forest *served = job_forest (plan->look->tree, since, backup);
  source->offer
    = offer_new (served, g_steal_pointer (&plan->look->tree), since);
  source->roster = g_steal_pointer (&plan->roster);
  source_call_roll (source);
  source->keeps_connections = true;
  return true;
}

/* The wanted disks that libvirt gives no size for: their record is of no
 * use.  Target → why.
 */
static GHashTable *
broken_disks (const Checkpoint *checkpoint, const LivePlan *plan,
              const GError *refusal)
{
  GHashTable *broken = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                              (GDestroyNotify) g_error_free);

  for (guint i = 0; i < plan->backup->disks->len; i++) {
    const BackupDisk *wanted = g_ptr_array_index (plan->backup->disks, i);
    const CheckpointDisk *disk
      = checkpoint_disk (checkpoint, wanted->target);
    GError *why = NULL;

    if (!wanted->incremental || (disk && disk->has_size))
      continue;
    error_set (&why, EIO, "disk %s: the record since checkpoint %s is missing "
               "or broken (%s)", wanted->target, checkpoint->name,
               refusal->message);
    error_advise (&why, REMEDY_FULL_BACKUP, " of it", NULL);
    g_hash_table_insert (broken, g_strdup (wanted->target), why);
  }
  return broken;
}

/* No disk is left to be backed up. */
static bool
refuse_all (const LiveSource *self, const LivePlan *plan, GError **error)
{
  const SourceRequest *request = plan->request;
  const Guest *guest = plan->look->guest;
  GHashTableIter iter;
  gpointer reason;

  if (request->disk && !guest_disk (guest, request->disk)) {
    const GError *why = g_hash_table_lookup (guest->left_out, request->disk);
    g_autofree char *names = libvirt_targets (guest, request->disk);
    return error_set (error, ENOENT, "%s has no disk %s that can be backed up"
                      "%s%s; disks that can: %s", self->who, request->disk,
                      why ? ": " : "", why ? why->message : "", names);
  }
  g_hash_table_iter_init (&iter, plan->useless);
  if (g_hash_table_iter_next (&iter, NULL, &reason)) {
    g_propagate_error (error, g_error_copy (reason));
    source_prefix_missing (&self->source, error);
    g_prefix_error (error, "%s: ", self->who);
    return false;
  }
  error_set (error, ENOENT, "%s: checkpoint %s covers none of the wanted "
             "disks, so nothing was recorded", self->who,
             request->checkpoint ? request->checkpoint : "(none)");
  return error_advise (error, REMEDY_FULL_VIEW, NULL);
}

/* Those that on-missing=full serves whole though libvirt would not. */
static void
warn_of_useless (const Source *source, const LivePlan *plan)
{
  GHashTableIter iter;
  gpointer target, reason;

  g_hash_table_iter_init (&iter, plan->useless);
  while (g_hash_table_iter_next (&iter, &target, &reason))
    source_warn_whole (source, target, reason);
}

/* Disks that are in this backup, and would not be in the next one. */
static void
warn_of_unrecorded (const Source *source, const LivePlan *plan)
{
  for (guint i = 0; plan->create && i < plan->backup->disks->len; i++) {
    const BackupDisk *disk = g_ptr_array_index (plan->backup->disks, i);
    if (!checkpoint_bitmap (plan->create, disk->target))
      live_warn_unrecorded (source, disk->target, plan->create->name);
  }
}

static bool
begin_job (LiveSource *self, const SourceRequest *request, GuestLook *look,
           GHashTable *broken, GError **error)
{
  g_auto (LivePlan) plan = { 0 };
  g_autoptr (Backup) backup = NULL;
  g_autoptr (Checkpoint) sized = NULL;
  g_autoptr (GError) refusal = NULL;

  if (!live_plan_make (&plan, request, look, broken, error))
    return false;
  if (plan.backup->disks->len == 0)
    return refuse_all (self, &plan, error);
  if (!broken)                  /* the second time, it has been told */
    reporter_warn_all (self->source.reporter, plan.unseen);
  if (live_plan_begin (&plan, self->keeper, &backup, &sized, &refusal)) {
    if (request->on_missing_full)
      warn_of_useless (&self->source, &plan);
    warn_of_unrecorded (&self->source, &plan);
    libvirt_leave_out (&self->source, request, look->guest->left_out, false);
    return serve_job (self, &plan, backup, error);
  }
  g_autoptr (GHashTable) found
    = sized ? broken_disks (sized, &plan, refusal) : NULL;
  if (!found || g_hash_table_size (found) == 0 || broken) {
    g_propagate_error (error, g_steal_pointer (&refusal));
    return false;
  }
  return begin_job (self, request, look, found, error);
}

/* libvirt may have forgotten it.  The images tell, if they are here; but a
 * bitmap that was made since QEMU was started is in none yet.
 */
static bool
unknown_checkpoint (const SourceRequest *request, const GuestLook *look,
                    GError **error)
{
  const char *name = request->checkpoint;
  g_autoptr (GPtrArray) have = g_ptr_array_new ();
  g_autoptr (GPtrArray) may_have = g_ptr_array_new ();
  g_autoptr (GError) unknown = NULL;

  for (guint i = 0; i < look->guest->disks->len; i++) {
    const GuestDisk *disk = g_ptr_array_index (look->guest->disks, i);
    if (g_strcmp0 (disk->format, "qcow2") != 0)
      continue;
    if (!look->host && disk->source && image_has_bitmap (disk->source, name))
      g_ptr_array_add (have, disk->target);
    if (!request->disk || strcmp (request->disk, disk->target) == 0)
      g_ptr_array_add (may_have, disk->target);
  }
  g_autofree char *command
    = redefine_command (request->libvirt, look->guest->name, name,
                        have->len ? have : may_have, have->len == 0);
  if (have->len > 0)
    return parts_forgotten (name, have, command, error);
  parts_unknown_checkpoint (look->tree, name, &unknown);
  error_set (error, unknown->code, "%s%s%s", unknown->message,
             may_have->len ? "; if libvirt may have forgotten it "
             "(migration, --metadata), tell it again, which libvirt "
             "refuses where a disk has no such bitmap, with: " : "",
             may_have->len ? command : "");
  return forest_size (look->tree) == 0
    && error_advise (error, REMEDY_FIRST_RUNNING, name, NULL);
}

/* libvirt deletes it only if each disk that it covers has the bitmap still. */
static bool
refuse_known (const LiveSource *self, const SourceRequest *request,
              const GuestLook *look, GError **error)
{
  error_set (error, EEXIST, "checkpoint %s cannot be made: %s has one of that "
             "name", request->create, self->who);
  return error_advise (error, REMEDY_DELETE_LEFTOVERS, request->libvirt,
                       look->guest->name, request->create, NULL);
}

bool
libvirt_back_up (LiveSource *self, const SourceRequest *request,
                 GuestLook *look, GError **error)
{
  if (request->checkpoint
      && !forest_lookup (look->tree, request->checkpoint))
    return unknown_checkpoint (request, look, error);
  if (request->create && forest_lookup (look->tree, request->create))
    return refuse_known (self, request, look, error);
  if (request->nbd_tls && strchr (request->nbd_tls, '/'))
    self->certificates = g_strdup (request->nbd_tls);
  return begin_job (self, request, look, NULL, error);
}
