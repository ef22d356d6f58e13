/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What can be known to fail before a client comes is said at start-up.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "source/catalogue-internal.h"
#include "tree/redefine.h"

/* Layers that were merged by hand leave no other trace. */
static bool
warn_of_stray (const Source *source, const Disk *disk,
               const Checkpoint *checkpoint)
{
  const char *path = roster_strayed (disk->roster, checkpoint, disk->target);

  if (!path)
    return false;
  g_autofree char *who = g_strdup_printf ("disk %s: checkpoint %s",
                                          disk->target, checkpoint->name);
  g_autofree char *message = parts_strayed (who, path);
  reporter_warn (source->reporter, "%s", message);
  return true;
}

/* What is served is more than what was recorded, or less than what happened. */
static void
warn_of_record (const Source *source, const DiskView *view)
{
  const Disk *disk = view->disk;
  g_autoptr (GError) reason = NULL;

  if (view->lacks_record) {
    catalogue_say_why (source, view, &reason);
    source_warn_whole (source, disk->target, reason);
  }
  for (guint i = 0; i < view->parts->len; i++) {
    const Part *part = g_ptr_array_index (view->parts, i);
    if (part_as_it_stood (disk, part))
      reporter_warn (source->reporter, "disk %s: bitmap %s in %s is disabled, "
                     "and is served as it stood: what was written after it was "
                     "disabled is not in it", disk->target, part->bitmap->name,
                     disk_layer (disk, part->layer)->path);
  }
}

/* With checkpoint=: the disk must be servable since it. */
static bool
check_since (const Catalogue *self, const Disk *disk, GError **error)
{
  const Source *source = self->source;
  const DiskView *view = catalogue_lookup (self, disk->target,
                                           self->request->checkpoint, error);

  if (!view)
    return false;
  warn_of_record (source, view);
  if (!view->lacks_record && !disk->full)
    warn_of_stray (source, disk, view->checkpoint);
  return true;
}

bool
catalogue_nothing_recorded (const Source *source, const Disk *disk,
                            GError **error)
{
  const GPtrArray *all = forest_all (source->offer->forest);

  if (!parts_can_record (disk, error))
    return false;
  for (guint i = all->len; i > 0; i--)
    if (!roster_check (disk->roster, g_ptr_array_index (all, i - 1),
                       disk->target, error))
      return false;
  if (source->look_only)
    return error_set (error, ENOENT, "disk %s: no checkpoint covers it by that "
                      "name, so nothing was recorded", disk->target)
      || error_advise (error, REMEDY_RECORD_DISK, NULL);
  return parts_nothing_recorded (disk, error);
}

/* Without: one checkpoint must be; the others are reported together. */
static bool
check_any (const Catalogue *self, const Disk *disk, GError **error)
{
  const Source *source = self->source;
  const GPtrArray *all = forest_all (source->offer->forest);
  const DiskView *first_bad = NULL;
  guint good = 0, bad = 0;
  bool warned = false;

  if (disk->full)
    return true;
  for (guint i = 0; i < all->len; i++) {
    const Checkpoint *checkpoint = g_ptr_array_index (all, i);
    if (!checkpoint_bitmap (checkpoint, disk->target))
      continue;
    const DiskView *view = catalogue_view (self, disk, checkpoint);
    if (view->parts) {
      good++;
      warn_of_record (source, view);
      warned = warned || warn_of_stray (source, disk, checkpoint);
    }
    else if (bad++ == 0)
      first_bad = view;
  }
  if (good == 0)
    return bad == 0 ? catalogue_nothing_recorded (source, disk, error)
      : catalogue_say_why (source, first_bad, error);
  if (bad > 0) {
    g_autoptr (GError) first = NULL;
    catalogue_say_why (source, first_bad, &first);
    g_prefix_error (&first, "%u of %u checkpoints cannot be served for disk %s "
                    "and are not listed; the first: ", bad, good + bad,
                    disk->target);
    reporter_warn_error (source->reporter, first);
  }
  return true;
}

/* There is no checkpoint at all.  What begins a record is said, in words that can be
 * typed where one command is right for the images.
 */
static bool
none_yet (const Source *source, const SourceRequest *request, GError **error)
{
  g_autoptr (GString) commands = g_string_new (NULL);
  g_autofree char *name = error_shell_word (request->checkpoint);

  if (request->libvirt) {
    parts_none_yet (request->checkpoint, REMEDY_NONE, error);
    return error_advise (error, REMEDY_FIRST_OFF, request->checkpoint,
                         request->libvirt, request->domain, NULL);
  }
  for (guint i = 0; i < source->disks->len; i++) {
    const Layer *top = disk_layer (g_ptr_array_index (source->disks, i), 0);
    if (!top->file || top->encryption || g_strcmp0 (top->format, "qcow2") != 0)
      continue;
    g_autofree char *path = error_shell_word (top->path);
    g_string_append_printf (commands, "%sqemu-img bitmap --add %s %s",
                            commands->len ? " && " : "", path, name);
  }
  if (commands->len == 0 || request->checkpoint[0] == '-')
    return parts_unknown_checkpoint (source->offer->forest,
                                     request->checkpoint, error);
  return error_set (error, ENOENT, "there is no checkpoint %s, nor any other; "
                    "make a full backup, and while the guest is still off, the "
                    "first checkpoint: %s", request->checkpoint, commands->str);
}

/* It may be a bitmap that is void, or a checkpoint that was forgotten. */
static bool
unknown_checkpoint (const Source *source, const SourceRequest *request,
                    GError **error)
{
  const char *checkpoint = request->checkpoint;
  g_autoptr (GPtrArray) targets = g_ptr_array_new ();

  for (guint i = 0; i < source->disks->len; i++) {
    const Disk *disk = g_ptr_array_index (source->disks, i);
    const Layer *layer = disk_void_layer (disk);
    const Bitmap *found = layer_bitmap (disk_layer (disk, 0), checkpoint);
    if (layer)
      return parts_void (disk, layer, checkpoint, error);
    if (found && found->recording && !found->inconsistent)
      g_ptr_array_add (targets, disk->target);
  }
  if (forest_size (source->offer->forest) == 0
      && !parts_can_record (g_ptr_array_index (source->disks, 0), error))
    return false;
  if (forest_size (source->offer->forest) == 0 && targets->len == 0
      && request->uris->len == 0)
    return none_yet (source, request, error);
  if (targets->len == 0 || request->uris->len > 0)
    return parts_unknown_checkpoint (source->offer->forest, checkpoint,
                                     error);
  g_autofree char *command = request->libvirt
    ? redefine_command (request->libvirt, request->domain, checkpoint,
                        targets, false) : NULL;
  return parts_forgotten (checkpoint, targets, command, error);
}

bool
catalogue_check (const Catalogue *self, GError **error)
{
  Source *source = self->source;
  const SourceRequest *request = self->request;
  g_autoptr (GPtrArray) targets = g_ptr_array_new ();
  g_autoptr (GPtrArray) refusals
    = g_ptr_array_new_with_free_func ((GDestroyNotify) g_error_free);
  guint good = 0;

  if (request->disk && !catalogue_disk (self, request->disk, error))
    return false;
  if (request->checkpoint
      && !forest_lookup (source->offer->forest, request->checkpoint))
    return unknown_checkpoint (source, request, error);
  for (guint i = 0; i < source->disks->len; i++) {
    const Disk *disk = g_ptr_array_index (source->disks, i);
    g_autoptr (GError) refusal = NULL;

    if (request->disk && strcmp (request->disk, disk->target) != 0)
      continue;
    if (request->checkpoint ? check_since (self, disk, &refusal)
        : check_any (self, disk, &refusal))
      good++;
    else {
      g_ptr_array_add (targets, disk->target);
      g_ptr_array_add (refusals, g_steal_pointer (&refusal));
    }
  }
  for (guint i = good > 0 ? 0 : 1; i < refusals->len; i++)
    source_leave_out (source, g_ptr_array_index (targets, i),
                      g_error_copy (g_ptr_array_index (refusals, i)), true);
  if (good == 0 && refusals->len > 0)
    g_propagate_error (error, g_ptr_array_steal_index (refusals, 0));
  else if (good == 0)
    error_set (error, ENOENT, "there is no disk that could be backed up");
  return good > 0;
}
