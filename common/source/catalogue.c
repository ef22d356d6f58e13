/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Only known names have an entry: any client may ask for others.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "source/catalogue-internal.h"

#define NAMES_SHOWN 8

static void
disk_view_free (gpointer data)
{
  DiskView *view = data;

  if (view->parts)
    g_ptr_array_unref (view->parts);
  g_free (view);
}

Catalogue *
catalogue_new (Source *source, const SourceRequest *request)
{
  Catalogue *self = g_new0 (Catalogue, 1);

  self->source = source;
  self->request = request;
  g_mutex_init (&self->lock);
  self->views = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                       disk_view_free);
  return self;
}

void
catalogue_free (Catalogue *self)
{
  if (!self)
    return;
  g_hash_table_unref (self->views);
  g_mutex_clear (&self->lock);
  g_free (self);
}

bool
catalogue_parse_name (const Catalogue *self, const char *text,
                      ExportName *name, GError **error)
{
  return export_name_parse (text, self->source->offer->forest, name,
                            error);
}

bool
catalogue_start (Catalogue *self, GError **error)
{
  Source *source = self->source;

  g_hash_table_remove_all (self->views);
  if (source->ops->start && !source->ops->start (source, error))
    return false;
  nbd_life_serve (source->life);
  return true;
}

/* ── One view ── */

static DiskView *
plan (const Source *source, const Disk *disk, const Checkpoint *checkpoint,
      bool is_disk)
{
  DiskView *view = g_new0 (DiskView, 1);

  view->disk = disk;
  view->checkpoint = checkpoint;
  view->is_disk = is_disk;
  if (is_disk) {
    view->parts = parts_disk (disk, NULL);
    return view;
  }
  if (disk->full || !checkpoint) {  /* since nothing, all of it is dirty */
    view->parts = parts_whole ();
    return view;
  }
  view->parts = parts_plan (source->offer->forest, disk, checkpoint->name, NULL);
  view->lacks_record = !view->parts;
  if (view->lacks_record
      && g_strcmp0 (source->offer->whole, checkpoint->name) == 0)
    view->parts = parts_whole ();
  return view;
}

/* The words can take longer than the decision, so they are looked for only when
 * somebody will read them.
 */
bool
catalogue_say_why (const Source *source, const DiskView *view, GError **error)
{
  GError *why = NULL;

  if (!error)
    return false;
  if (view->is_disk) {
    parts_disk (view->disk, error);
    return false;
  }
  g_autoptr (GPtrArray) parts = parts_plan (source->offer->forest, view->disk,
                                            view->checkpoint->name, &why);
  /* Planning opens an image at times, and that may have failed then only. */
  if (parts) {
    error_set (&why, EAGAIN, "disk %s since checkpoint %s could not be looked "
               "at when it was asked for first", view->disk->target,
               view->checkpoint->name);
    error_advise (&why, REMEDY_START_AGAIN, NULL);
  }
  g_propagate_error (error, why);
  return false;
}

/* checkpoint: as in an export's name. */
static char *
name_of (const Disk *disk, const char *checkpoint)
{
  return checkpoint ? export_name_format (disk->target, checkpoint,
                                          EXPORT_NAME_WHOLE)
    : g_strdup (disk->target);
}

static const DiskView *
view_called (const Catalogue *self, char *name_taken, const Disk *disk,
             const Checkpoint *checkpoint, bool is_disk)
{
  g_autofree char *name = name_taken;
  g_autoptr (GMutexLocker) locker
    = g_mutex_locker_new ((GMutex *) &self->lock);
  DiskView *view = g_hash_table_lookup (self->views, name);

  if (!view) {
    view = plan (self->source, disk, checkpoint, is_disk);
    g_hash_table_insert (self->views, g_steal_pointer (&name), view);
  }
  return view;
}

const DiskView *
catalogue_view (const Catalogue *self, const Disk *disk,
                const Checkpoint *checkpoint)
{
  return view_called (self, name_of (disk, checkpoint ? checkpoint->name : NULL),
                      disk, checkpoint, false);
}

static const DiskView *
disk_itself (const Catalogue *self, const Disk *disk)
{
  return view_called (self, name_of (disk, ""), disk, NULL, true);
}

/* A running job has one checkpoint, or none. */
static bool
refuse_other_base (const Offer *offer, const char *checkpoint, GError **error)
{
  const char *base = offer->base;

  if (base)
    error_set (error, ENOENT, "the running backup was begun since %s, and has "
               "no other base", base);
  else
    error_set (error, ENOENT, "all of each disk is served, for no checkpoint "
               "was named at the start");
  return error_advise (error, REMEDY_OTHER_BASE, checkpoint, NULL);
}

/* checkpoint: its name; NULL: a full view; "": the disk itself. */
static const DiskView *
find_view (const Catalogue *self, const Disk *disk, const char *checkpoint,
           GError **error)
{
  const Offer *offer = self->source->offer;
  const bool is_disk = checkpoint && checkpoint[0] == '\0';
  const Checkpoint *since
    = checkpoint ? forest_lookup (offer->forest, checkpoint) : NULL;

  if (checkpoint && !is_disk && offer_excludes (offer, checkpoint))
    refuse_other_base (offer, checkpoint, error);
  else if (checkpoint && !is_disk && !since)
    parts_unknown_checkpoint (offer->forest, checkpoint, error);
  else {
    const DiskView *view = is_disk ? disk_itself (self, disk)
      : catalogue_view (self, disk, since);
    if (view->parts)
      return view;
    catalogue_say_why (self->source, view, error);
    source_prefix_missing (self->source, error);
  }
  return NULL;
}

/* ── What is meant where a name does not say ── */

const Disk *
catalogue_disk (const Catalogue *self, const char *target, GError **error)
{
  const GPtrArray *disks = self->source->disks;
  const Disk *found = disk_find (disks, target);

  if (found)
    return found;
  const LeftOut *left_out = source_left_out (self->source, target);
  if (left_out) {
    error_set (error, ENOENT, "%s", left_out->why->message);
    error_advise_as (error, left_out->why);
    return NULL;
  }
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  for (guint i = 0; i < disks->len; i++)
    g_ptr_array_add (names,
                     ((const Disk *) g_ptr_array_index (disks, i))->target);
  g_autofree char *nearest = nearest_names (target, names, NAMES_SHOWN);
  return error_null (error, ENOENT, "there is no disk %s; disks are: %s",
                     target, nearest);
}

static bool
collect_name (void *opaque, const char *name,
              const DiskView *view G_GNUC_UNUSED)
{
  g_ptr_array_add (opaque, g_strdup (name));
  return true;
}

/* Who does not ask for one disk wants all: that one is missing must not depend
 * on how many are left.
 */
static const Disk *
default_disk (const Catalogue *self, GError **error)
{
  const GPtrArray *disks = self->source->disks;
  const LeftOut *missing = source_left_out (self->source, NULL);

  if (self->request->disk)
    return catalogue_disk (self, self->request->disk, error);
  if (disks->len == 1) {
    const Disk *only = g_ptr_array_index (disks, 0);
    if (!missing)
      return only;
    g_autofree char *why
      = error_line (missing->why, self->source->reporter->remedies);
    error_set (error, ENOENT, "no disk is chosen, and not all are served");
    return error_advise_null (error, REMEDY_CHOOSE_REST, only->target, why,
                              NULL);
  }
  if (!error)
    return NULL;
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  catalogue_visit (self, collect_name, names);
  g_autofree char *known = nearest_names (NULL, names, NAMES_SHOWN);
  g_ptr_array_set_size (names, 0);
  for (guint i = 0; i < disks->len; i++)
    g_ptr_array_add (names, g_strdup (((const Disk *) g_ptr_array_index (disks, i))
                                      ->target));
  g_autofree char *targets = nearest_names (NULL, names, NAMES_SHOWN);
  error_set (error, ENOENT, "there are %u disks and none is chosen",
             disks->len);
  return error_advise_null (error, REMEDY_CHOOSE_DISK, known, targets, NULL);
}

/* checkpoint=, the only one that covers the disk, or none if that is full. */
static bool
default_checkpoint (const Catalogue *self, const Disk *disk,
                    const char **checkpoint, GError **error)
{
  const Source *source = self->source;
  const GPtrArray *all = forest_all (source->offer->forest);
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  *checkpoint = self->request->checkpoint;
  for (guint i = 0; !*checkpoint && i < all->len; i++) {
    const Checkpoint *one = g_ptr_array_index (all, i);
    if (checkpoint_bitmap (one, disk->target))
      g_ptr_array_add (names, (char *) one->name);
  }
  if (names->len == 1)
    *checkpoint = g_ptr_array_index (names, 0);
  if (*checkpoint || disk->full)
    return true;
  if (names->len == 0)
    return source->look_only
      ? catalogue_nothing_recorded (source, disk, error)
      : parts_nothing_recorded (disk, error);
  g_autofree char *known = nearest_names (NULL, names, NAMES_SHOWN);
  error_set (error, ENOENT, "disk %s has the checkpoints %s", disk->target,
             known);
  return error_advise (error, REMEDY_CHOOSE_CHECKPOINT, disk->target, NULL);
}

const Disk *
catalogue_default_disk (const Catalogue *self, GError **error)
{
  const Disk *disk = default_disk (self, error);
  const char *checkpoint;

  return disk && default_checkpoint (self, disk, &checkpoint, error)
    ? disk : NULL;
}

const DiskView *
catalogue_lookup (const Catalogue *self, const char *target,
                  const char *checkpoint, GError **error)
{
  const Disk *disk = target ? catalogue_disk (self, target, error)
    : default_disk (self, error);

  if (!disk || (!checkpoint
                && !default_checkpoint (self, disk, &checkpoint, error)))
    return NULL;
  return find_view (self, disk, checkpoint, error);
}

/* ── All views ── */

static bool
visit_disk (const Catalogue *self, const Disk *disk, CatalogueVisit visit,
            void *opaque)
{
  const GPtrArray *all = forest_all (self->source->offer->forest);
  const DiskView *view = catalogue_lookup (self, disk->target, NULL, NULL);

  if (view && !visit (opaque, disk->target, view))
    return false;
  for (guint i = 0; i < all->len; i++) {
    const Checkpoint *checkpoint = g_ptr_array_index (all, i);
    if (!checkpoint_bitmap (checkpoint, disk->target) && !disk->full)
      continue;
    g_autofree char *name = name_of (disk, checkpoint->name);
    view = catalogue_view (self, disk, checkpoint);
    if (view->parts && !visit (opaque, name, view))
      return false;
  }
  return true;
}

bool
catalogue_visit (const Catalogue *self, CatalogueVisit visit, void *opaque)
{
  const GPtrArray *disks = self->source->disks;

  for (guint i = 0; i < disks->len; i++)
    if (!visit_disk (self, g_ptr_array_index (disks, i), visit, opaque))
      return false;
  return true;
}

bool
catalogue_visit_disks (const Catalogue *self, CatalogueVisit visit,
                       void *opaque)
{
  const GPtrArray *disks = self->source->disks;

  for (guint i = 0; i < disks->len; i++) {
    const Disk *disk = g_ptr_array_index (disks, i);
    g_autofree char *name = name_of (disk, "");
    const DiskView *view = disk_itself (self, disk);
    if (view->parts && !visit (opaque, name, view))
      return false;
  }
  return true;
}
