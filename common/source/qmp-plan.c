/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Which bitmaps tell what changed is planned as for any other source; QEMU then
 * merges them into one, at the instant of the job.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/own-folder.h"
#include "parts/parts.h"
#include "source/current.h"
#include "source/qmp-disks.h"
#include "source/qmp.h"
#include "tree/store.h"

void
qmp_plan_clear (QmpPlan *plan)
{
  g_clear_pointer (&plan->fleece, fleece_free);
  g_clear_pointer (&plan->create, checkpoint_free);
  g_clear_pointer (&plan->useless, g_hash_table_unref);
  g_clear_pointer (&plan->refused, g_ptr_array_unref);
}

Roster *
qmp_roster (const GPtrArray *disks)
{
  Roster *roster = roster_new (true);

  for (guint i = 0; i < disks->len; i++) {
    const Disk *disk = g_ptr_array_index (disks, i);
    for (guint j = 0; j < disk->layers->len; j++)
      roster_add (roster, disk->target, disk_layer (disk, j)->path);
  }
  return roster;
}

/* Beside the disk, unless it is said otherwise: a new string. */
static char *
scratch_folder (const SourceRequest *request, const Disk *disk, GError **error)
{
  const char *path = disk_layer (disk, 0)->path;
  struct stat status;

  if (request->scratch_dir)
    return g_strdup (request->scratch_dir);
  if (*path == '/' && stat (path, &status) == 0 && S_ISREG (status.st_mode))
    return g_path_get_dirname (path);
  error_set (error, EINVAL, *path == '/'
             ? "disk %s: %s is no file that is seen here, so there is no folder "
             "beside it for the scratch file"
             : "disk %s: its QEMU calls it %s, and what folder that is in cannot "
             "be seen from here, so where to make the scratch file is not "
             "known", disk->target, path);
  return error_advise_null (error, REMEDY_SCRATCH_DIR, NULL);
}

/* image: the file of a layer. */
static FleecePart *
add_part (FleeceDisk *wanted, const char *node, guint64 size,
          const char *image)
{
  FleecePart *part = fleece_add_part (wanted, node, size);

  part->image = g_strdup (image);
  return part;
}

/* For bitmaps of that size, which is not the disk's. */
static FleecePart *
part_of_size (FleeceDisk *wanted, const Layer *layer)
{
  for (guint i = 0; i < wanted->parts->len; i++) {
    FleecePart *part = g_ptr_array_index (wanted->parts, i);
    if (!part->node && part->size == layer->size)
      return part;
  }
  return add_part (wanted, NULL, layer->size, layer->path);
}

static void
add_bitmap (FleeceDisk *wanted, const Layer *layer, const Bitmap *bitmap)
{
  if (layer->size != wanted->size) {
    FleecePart *part = part_of_size (wanted, layer);
    fleece_add_bitmap (part->bitmaps, &part->granularity, layer->node, bitmap);
    return;
  }
  if (!wanted->image)
    wanted->image = g_strdup (layer->path);
  fleece_add_bitmap (wanted->bitmaps, &wanted->granularity, layer->node,
                     bitmap);
}

/* QEMU merges bitmaps of one size only, and no allocation. */
static void
add_parts (FleeceDisk *wanted, const Disk *disk, const GPtrArray *parts)
{
  for (guint i = 0; i < parts->len; i++) {
    const Part *part = g_ptr_array_index (parts, i);
    const Layer *layer = disk_layer (disk, part->layer);
    if (part->kind == PART_ALLOCATION)
      add_part (wanted, layer->node, layer->size, layer->path);
    else
      add_bitmap (wanted, layer, part->bitmap);
  }
}

static bool
check_free (const Disk *disk, GError **error)
{
  return !disk->job || strstr (disk->job, OWN_PREFIX)
    || error_set (error, EBUSY, "disk %s: %s works on it; wait until it has "
                  "ended, or end it (QMP: job-cancel), and try again",
                  disk->target, disk->job);
}

/* parts NULL: all of it is served. */
static bool
add_disk (QmpPlan *plan, const Disk *disk, const GPtrArray *parts,
          GError **error)
{
  g_autofree char *folder = scratch_folder (plan->request, disk, error);

  if (!folder || !check_free (disk, error))
    return false;
  FleeceDisk *wanted = fleece_add_disk (plan->fleece, disk->target,
                                        disk_layer (disk, 0)->node);
  wanted->state = fleece_state (disk, plan->request->create);
  wanted->folder = g_steal_pointer (&folder);
  wanted->size = disk_layer (disk, 0)->size;
  if (parts) {
    wanted->since = g_strdup (plan->request->checkpoint);
    add_parts (wanted, disk, parts);
  }
  if (plan->create && parts_can_record (disk, NULL)
      && !disk_layer (disk, 0)->version_2) {
    wanted->record = true;
    checkpoint_cover (plan->create, disk->target, plan->create->name);
    return qmp_disk_stays (disk, error);
  }
  return true;
}

static bool
choose_disk (QmpPlan *plan, const Disk *disk, GError **error)
{
  const SourceRequest *request = plan->request;
  g_autoptr (GPtrArray) parts = NULL;
  GError *why = NULL;

  if (request->disk && strcmp (request->disk, disk->target) != 0)
    return true;
  if (request->checkpoint)
    parts = parts_plan (plan->tree, disk, request->checkpoint, &why);
  if (why)
    g_hash_table_insert (plan->useless, g_strdup (disk->target), why);
  if (parts || !request->checkpoint || request->on_missing_full)
    return add_disk (plan, disk, parts, error);
  g_ptr_array_add (plan->refused, disk->target);
  return true;
}

/* ── The next checkpoint ── */

static bool
check_name (const QmpPlan *plan, GError **error)
{
  const char *name = plan->request->create;

  if (forest_lookup (plan->tree, name)) {
    error_set (error, EEXIST, "checkpoint %s cannot be made: QEMU at %s has one "
               "of that name", name, plan->request->qmp);
    return error_advise (error, plan->request->tree ? REMEDY_DELETE_IN_TREE
                         : REMEDY_DELETE_AT_QEMU, plan->request->qmp, name,
                         plan->request->tree, NULL);
  }
  for (guint i = 0; i < plan->disks->len; i++) {
    const Disk *disk = g_ptr_array_index (plan->disks, i);
    if (disk_deepest_with (disk, name) == disk->layers->len)
      continue;
    error_set (error, EEXIST, "disk %s: a bitmap named %s is there already, and "
               "no checkpoint of that name is known", disk->target, name);
    return error_advise (error, REMEDY_STRAY_BITMAP, name, NULL);
  }
  return true;
}

/* With a document, its parent is what the disks come from, as for any other that is
 * made without libvirt.
 */
static void
complete_document (QmpPlan *plan, bool has_documents)
{
  const SourceRequest *request = plan->request;
  Fleece *fleece = plan->fleece;
  const Checkpoint *current
    = has_documents ? current_on_disks (plan->tree, plan->disks) : NULL;

  checkpoint_set_parent_name (plan->create, current ? current->name : NULL);
  for (guint i = 0; i < plan->disks->len; i++) {
    const Disk *disk = g_ptr_array_index (plan->disks, i);
    if (!checkpoint_disk (plan->create, disk->target))
      checkpoint_add_disk (plan->create, disk->target, NULL);
  }
  fleece->create = g_strdup (request->create);
  if (!request->tree)
    return;
  fleece->document = checkpoint_format (plan->create);
  fleece->tree = g_strdup (request->tree);
  fleece->inner
    = g_strdup (store_find_inner (request->tree, request->domain));
}

static bool
refuse_create (const QmpPlan *plan, GError **error)
{
  error_set (error, ENOTSUP, "checkpoint %s cannot be made: no disk in the "
             "backup is qcow2 of version 3 (qemu-img info -U calls it compat "
             "1.1), and only there can a checkpoint be recorded",
             plan->create->name);
  return error_advise (error, REMEDY_FULL_ALONE, NULL);
}

bool
qmp_plan_make (QmpPlan *plan, const SourceRequest *request,
               const Forest *tree, bool has_documents,
               const GPtrArray *disks, GError **error)
{
  const char *place = request->socket_dir ? request->socket_dir
    : own_folder_place ();

  plan->request = request;
  plan->tree = tree;
  plan->disks = disks;
  plan->fleece = fleece_new ();
  plan->fleece->mark = own_folder_name ();
  plan->fleece->folder = g_build_filename (place, plan->fleece->mark, NULL);
  plan->fleece->take_over = request->take_over;
  plan->refused = g_ptr_array_new ();
  plan->useless = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                         (GDestroyNotify) g_error_free);
  if (request->create && !check_name (plan, error))
    return false;
  if (request->create)
    plan->create = checkpoint_new_now (request->create);
  for (guint i = 0; i < disks->len; i++)
    if (!choose_disk (plan, g_ptr_array_index (disks, i), error))
      return false;
  if (!plan->create || plan->fleece->disks->len == 0)
    return true;
  if (plan->create->disks->len == 0)
    return refuse_create (plan, error);
  complete_document (plan, has_documents);
  return true;
}
