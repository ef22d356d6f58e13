/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A running QEMU that is read: a job is begun by a keeper, which has QEMU's
 * monitor from then on.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "parts/refuse.h"
#include "source/qmp-disks.h"
#include "source/qmp.h"

#define NAMES_SHOWN 8

/* ── What is served ── */

/* The checkpoint that the job is since, and its bitmap for each disk. */
static Forest *
job_forest (const QmpPlan *plan)
{
  const char *since = plan->request->checkpoint;

  if (!since) {
    Forest *none = forest_new ();
    forest_link (none);
    return none;
  }
  Checkpoint *checkpoint = checkpoint_new (since);
  for (guint i = 0; i < plan->fleece->disks->len; i++) {
    const FleeceDisk *disk = g_ptr_array_index (plan->fleece->disks, i);
    if (disk->since)
      checkpoint_cover (checkpoint, disk->target, disk->since);
  }
  return offer_single (checkpoint, forest_lookup (plan->tree, since));
}

/* Known, though refused, so that a client who asks learns why. */
static void
add_refused (LiveSource *self, const QmpPlan *plan, const char *target)
{
  Disk *disk = disk_new (target);

  source_add_export (disk, self->who);
  disk->useless
    = g_error_copy (g_hash_table_lookup (plan->useless, target));
  g_ptr_array_add (self->source.disks, disk);
}

/* A disk's export, and those that tell of its parts. */
static void
add_exports (GPtrArray *exports, const char *socket, const FleeceDisk *disk)
{
  g_autofree char *uri = live_unix_uri (socket, disk->target);

  live_exports_add (exports, disk->target, uri,
                    disk->bitmaps->len > 0 ? disk->since : NULL);
  for (guint i = 0; i < disk->parts->len; i++) {
    const FleecePart *part = g_ptr_array_index (disk->parts, i);
    g_autofree char *name = fleece_part_name (disk, i);
    g_autofree char *part_uri = live_unix_uri (socket, name);
    live_exports_add_part (exports, disk->target, part_uri,
                           part->node ? NULL : disk->since);
  }
}

/* Messages call layers by their images, not by our exports. */
static void
call_layers (const Disk *served, const FleeceDisk *disk)
{
  for (guint i = 0; i < served->layers->len && disk->parts->len > 0; i++) {
    Layer *layer = g_ptr_array_index (served->layers, i);
    layer->image = g_strdup (i == 0 ? disk->image
                             : ((const FleecePart *) g_ptr_array_index (
                                  disk->parts, i - 1))->image);
  }
}

static bool
connect_disks (LiveSource *self, const Fleece *fleece, GError **error)
{
  g_autoptr (GPtrArray) exports = live_exports_new ();
  g_autofree char *socket = fleece_socket (fleece);
  const guint before = self->source.disks->len;

  for (guint i = 0; i < fleece->disks->len; i++)
    add_exports (exports, socket, g_ptr_array_index (fleece->disks, i));
  if (!live_connect (self, exports, error))
    return false;
  for (guint i = 0; i < fleece->disks->len; i++) {
    const FleeceDisk *disk = g_ptr_array_index (fleece->disks, i);
    Disk *served = g_ptr_array_index (self->source.disks, before + i);
    call_layers (served, disk);
    served->mixes_records = disk->bitmaps->len > 1 || disk->parts->len > 0;
  }
  return true;
}

/* Can what was begun be served?  If not, the keeper undoes it.  Takes tree. */
static bool
serve_job (LiveSource *self, const QmpPlan *plan, Forest *tree,
           GError **error)
{
  Source *source = &self->source;
  const char *since = plan->request->checkpoint;
  const bool ok = connect_disks (self, plan->fleece, error);

  for (guint i = 0; i < plan->refused->len; i++)
    add_refused (self, plan, g_ptr_array_index (plan->refused, i));
  source->offer = offer_new (job_forest (plan), tree, since);
  source->roster = qmp_roster (plan->disks);
  source_call_roll (source);
  source->keeps_connections = true;
  return ok;
}

/* ── Words ── */

static bool
refuse_all (const LiveSource *self, const QmpPlan *plan, GError **error)
{
  const char *wanted = plan->request->disk;
  g_autoptr (GPtrArray) targets = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer reason;

  for (guint i = 0; i < plan->disks->len; i++)
    g_ptr_array_add (targets, ((const Disk *) g_ptr_array_index (
                       plan->disks, i))->target);
  if (wanted && !disk_find (plan->disks, wanted)) {
    g_autofree char *names = nearest_names (wanted, targets, NAMES_SHOWN);
    return error_set (error, ENOENT, "%s has no disk %s; it has: %s", self->who,
                      wanted, names);
  }
  g_hash_table_iter_init (&iter, plan->useless);
  if (!g_hash_table_iter_next (&iter, NULL, &reason))
    return error_set (error, ENOENT, "%s: there is no disk that could be backed "
                      "up", self->who);
  g_propagate_error (error, g_error_copy (reason));
  source_prefix_missing (&self->source, error);
  g_prefix_error (error, "%s: ", self->who);
  return false;
}

/* Disks that are served whole for want of a record, and those that would not be in
 * the next backup.
 */
static void
warn_of_disks (const Source *source, const QmpPlan *plan)
{
  for (guint i = 0; i < plan->fleece->disks->len; i++) {
    const FleeceDisk *disk = g_ptr_array_index (plan->fleece->disks, i);
    const GError *why = g_hash_table_lookup (plan->useless, disk->target);
    if (why)
      source_warn_whole (source, disk->target, why);
    if (plan->create && !disk->record)
      live_warn_unrecorded (source, disk->target, plan->create->name);
  }
}

/* ── Begin ── */

/* Takes tree. */
static bool
begin_job (LiveSource *self, const SourceRequest *request, Forest *tree,
           bool has_documents, const GPtrArray *disks, const char *path,
           GError **error)
{
  g_auto (QmpPlan) plan = { 0 };
  g_autoptr (Forest) known = tree;

  if (request->checkpoint && !forest_lookup (tree, request->checkpoint))
    return forest_size (tree) == 0
      ? parts_none_yet (request->checkpoint, REMEDY_FIRST_RUNNING, error)
      : parts_unknown_checkpoint (tree, request->checkpoint, error);
  if (!qmp_plan_make (&plan, request, tree, has_documents, disks, error))
    return false;
  if (plan.fleece->disks->len == 0)
    return refuse_all (self, &plan, error);
  if (!fleece_begin (self->keeper, path, plan.fleece, error))
    return false;
  warn_of_disks (&self->source, &plan);
  return serve_job (self, &plan, g_steal_pointer (&known), error);
}

/* Takes tree. */
static bool
look_and_begin (LiveSource *self, const SourceRequest *request, Forest *tree,
                GError **error)
{
  g_autoptr (Forest) forest = tree;
  g_autofree char *path = g_canonicalize_filename (request->qmp, NULL);
  Monitor *monitor
    = fleece_look (self->keeper, path, self->source.life, error);
  g_autoptr (GPtrArray) disks
    = monitor ? qmp_disks_look (request, forest, monitor, error) : NULL;

  /* From here on the keeper speaks. */
  monitor_free (monitor);
  if (!disks)
    return false;
  if (!forest)
    forest = parts_flat_tree (disks);
  g_autoptr (Roster) roster = qmp_roster (disks);
  roster_learn (roster, forest);
  for (guint i = 0; i < disks->len; i++)
    ((Disk *) g_ptr_array_index (disks, i))->roster = roster;
  return begin_job (self, request, g_steal_pointer (&forest), tree != NULL,
                    disks, path, error);
}

static const char *
qmp_instant (const Disk *disk G_GNUC_UNUSED)
{
  return "as it was when the backup began";
}

static const SourceOps running_ops = {
  .name     = "qmp",
  .instant  = qmp_instant,
  .start    = live_start,
  .endpoint = live_endpoint,
  .disown   = live_disown,
  .served   = live_served,
  .describe = live_describe,
  .stop     = live_stop,
  .free     = live_free,
};

Source *
qmp_begin (const SourceRequest *request, Forest *tree,
           const Reporter *reporter, GError **error)
{
  LiveSource *self = live_new (&running_ops, &fleece_job_ops, request,
                               reporter, error);

  if (!self) {
    forest_free (tree);
    return NULL;
  }
  self->source.can_serve_whole = true;
  self->who = g_strdup_printf ("QEMU at %s", request->qmp);
  if (look_and_begin (self, request, tree, error))
    return &self->source;
  live_free (&self->source);
  return NULL;
}
