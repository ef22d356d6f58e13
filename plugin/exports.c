/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Only what can be served is listed: nbdinfo --list opens each name in turn
 * and gives up at the first that is refused.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "parts/part-text.h"
#include "plugin/exports.h"

#define EXPORTS_LIMIT 10000
#define NAMES_SHOWN 8
/* NBD's limit for strings (doc/proto.md). */
#define NAME_BYTES 4096

void
export_choice_clear (ExportChoice *choice)
{
  g_clear_pointer (&choice->parts, g_ptr_array_unref);
}

const Part *
export_choice_part (const ExportChoice *choice)
{
  return g_ptr_array_index (choice->parts,
                            choice->part == EXPORT_NAME_WHOLE
                            ? 0 : choice->part);
}

const Disk *
exports_find_disk (const Source *source, const char *target, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  for (guint i = 0; i < source->disks->len; i++) {
    const Disk *disk = g_ptr_array_index (source->disks, i);
    if (strcmp (disk->target, target) == 0)
      return disk;
    g_ptr_array_add (names, disk->target);
  }
  const LeftOut *left_out = source_left_out (source, target);
  if (left_out)
    return g_propagate_error (error, g_error_copy (left_out->why)), NULL;
  g_autofree char *nearest = nearest_names (target, names, NAMES_SHOWN);
  return error_null (error, ENOENT, "there is no disk %s; disks are: %s",
                     target, nearest);
}

/* A part alone is no backup: who asks for its view is told what unites it. */
static bool
collect_view (void *opaque, const char *name, const ExportChoice *choice)
{
  if (choice->part == EXPORT_NAME_WHOLE)
    g_ptr_array_add (opaque, g_strdup (name));
  else if (choice->part == 0)
    g_ptr_array_add (opaque,
                     g_strndup (name, (gsize) (strrchr (name, '/') - name)));
  return true;
}

/* The views that can be asked for, for a message. */
static char *
known_names (const Source *source, const Settings *settings)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);

  exports_list (source, settings, collect_view, names);
  return nearest_names (NULL, names, NAMES_SHOWN);
}

static const Disk *
default_disk (const Source *source, const Settings *settings, GError **error)
{
  /* Who does not ask for one disk wants all: that one is missing must not depend on
   * how many are left.
   */
  const LeftOut *missing = source_left_out (source, NULL);

  if (settings->request.disk)
    return exports_find_disk (source, settings->request.disk, error);
  if (source->disks->len == 1 && !missing)
    return g_ptr_array_index (source->disks, 0);
  if (source->disks->len == 1) {
    const Disk *only = g_ptr_array_index (source->disks, 0);
    g_autofree char *why
      = error_line (missing->why, source->reporter->remedies);
    error_set (error, ENOENT, "no disk is chosen, and not all are served");
    return error_advise_null (error, REMEDY_CHOOSE_REST, only->target, why,
                              NULL);
  }
  g_autofree char *names = known_names (source, settings);
  error_set (error, ENOENT, "there are %u disks and none is chosen",
             source->disks->len);
  return error_advise_null (error, REMEDY_CHOOSE_DISK, names, NULL);
}

/* checkpoint=, or the only one that covers the disk. */
static const char *
default_checkpoint (const Source *source, const Settings *settings,
                    const Disk *disk, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  const GPtrArray *all = forest_all (offer_forest (source->offer));

  if (settings->request.checkpoint)
    return settings->request.checkpoint;
  for (guint i = 0; i < all->len; i++) {
    const Checkpoint *checkpoint = g_ptr_array_index (all, i);
    if (checkpoint_bitmap (checkpoint, disk->target))
      g_ptr_array_add (names, (char *) checkpoint->name);
  }
  if (names->len == 1)
    return g_ptr_array_index (names, 0);
  if (disk->full)
    return NULL;
  g_autofree char *known = nearest_names (NULL, names, NAMES_SHOWN);
  if (names->len == 0)
    source->look_only ? exports_nothing_recorded (source, disk, error)
      : parts_nothing_recorded (disk, error);
  else {
    error_set (error, ENOENT, "disk %s has the checkpoints %s", disk->target,
               known);
    error_advise (error, REMEDY_CHOOSE_CHECKPOINT, disk->target, NULL);
  }
  return NULL;
}

/* Name the layers that must be united. */
static bool
several_parts (const ExportChoice *choice, const Settings *settings,
               GError **error)
{
  g_autoptr (GString) list = g_string_new (NULL);
  const guint shown = MIN (choice->parts->len, NAMES_SHOWN);

  for (guint i = 0; i < shown; i++) {
    const Part *part = g_ptr_array_index (choice->parts, i);
    g_string_append_printf (list, "%s%s (%s%s)", i ? ", " : "",
                            disk_layer (choice->disk, part->layer)->path,
                            part->bitmap ? "bitmap " : "no bitmap",
                            part->bitmap ? part->bitmap->name : "");
  }
  if (choice->parts->len > shown)
    g_string_append_printf (list, " and %u more", choice->parts->len - shown);
  error_set (error, ENOTSUP, "disk %s since %s is spread over %u parts and "
             "complete only when they are united: %s", choice->disk->target,
             choice->checkpoint->name, choice->parts->len, list->str);
  return error_advise (error, REMEDY_UNITE, settings->words->str, NULL);
}

/* A running job has one checkpoint, or none. */
static bool
is_since_another (const Source *source, const char *checkpoint,
                  GError **error)
{
  const char *base = offer_job_base (source->offer);

  if (!offer_excludes (source->offer, checkpoint))
    return false;
  error_set (error, ENOENT, "the running backup was begun %s%s, and has no "
             "other base", base ? "since " : "without a checkpoint",
             base ? base : "");
  error_advise (error, REMEDY_OTHER_BASE, checkpoint, NULL);
  return true;
}

GPtrArray *
exports_parts (const Source *source, const Disk *disk, const char *checkpoint,
               GError **error)
{
  if (disk->full && (!checkpoint || offer_lookup (source->offer, checkpoint)))
    return parts_whole ();
  const bool else_whole = offer_is_whole (source->offer, checkpoint);
  GPtrArray *parts = parts_plan (offer_forest (source->offer), disk, checkpoint,
                                 else_whole ? NULL : error);
  if (!parts && else_whole)
    return parts_whole ();
  if (!parts)
    source_prefix_missing (source, error);
  return parts;
}

static bool
plan (const Source *source, const Disk *disk, const char *checkpoint,
      ExportChoice *choice, GError **error)
{
  choice->disk = disk;
  choice->part = EXPORT_NAME_WHOLE;
  if (checkpoint && is_since_another (source, checkpoint, error))
    return false;
  choice->parts = exports_parts (source, disk, checkpoint, error);
  if (!choice->parts)
    return false;
  if (checkpoint)
    choice->checkpoint = offer_lookup (source->offer, checkpoint);
  return true;
}

bool
exports_resolve (const Source *source, const Settings *settings,
                 const char *name, ExportChoice *choice, GError **error)
{
  g_auto (ExportName) parsed = { 0 };

  if (!export_name_parse (name, offer_forest (source->offer), &parsed, error))
    return false;
  const Disk *disk = parsed.target
    ? exports_find_disk (source, parsed.target, error)
    : default_disk (source, settings, error);
  if (!disk)
    return false;
  const char *checkpoint = parsed.checkpoint
    ? parsed.checkpoint : default_checkpoint (source, settings, disk, error);
  if ((!checkpoint && !disk->full)
      || !plan (source, disk, checkpoint, choice, error))
    return false;
  choice->part = parsed.part;
  if (parsed.part == EXPORT_NAME_WHOLE)
    return choice->parts->len == 1
      || several_parts (choice, settings, error);
  g_autofree char *parts
    = choice->parts->len == 1 ? g_strdup ("is 1 part")
    : g_strdup_printf ("are %u parts", choice->parts->len);
  if ((guint) parsed.part >= choice->parts->len)
    return error_set (error, ENOENT, "export %s: there %s, counted from 0",
                      name, parts);
  return true;
}

bool
exports_resolve_default (const Source *source, const Settings *settings,
                         ExportChoice *choice)
{
  const Disk *disk = default_disk (source, settings, NULL);
  const char *checkpoint
    = disk ? default_checkpoint (source, settings, disk, NULL) : NULL;

  return disk && (checkpoint || disk->full)
    && plan (source, disk, checkpoint, choice, NULL);
}

char *
exports_default (const Source *source, const Settings *settings,
                 GError **error)
{
  const Disk *disk = default_disk (source, settings, error);

  if (!disk || (!default_checkpoint (source, settings, disk, error)
                && !disk->full))
    return NULL;
  return g_strdup (disk->target);
}

/* nbdinfo --list ends at a name that it cannot open: one that can mean two things,
 * or that NBD does not allow (bitmaps may be called anything).
 */
static bool
can_be_asked_for (const Forest *forest, const char *name)
{
  g_auto (ExportName) parsed = { 0 };

  return strlen (name) <= NAME_BYTES && g_utf8_validate (name, -1, NULL)
    && export_name_parse (name, forest, &parsed, NULL);
}

/* Add a view under its name, or its parts under theirs. */
static bool
list_view (const Forest *forest, const char *whole, ExportChoice *choice,
           guint *left, ExportsAdd add, void *opaque)
{
  for (guint i = 0; i < choice->parts->len && *left > 0; i++) {
    g_autofree char *name = choice->parts->len == 1
      ? g_strdup (whole) : part_name_format (whole, i);
    choice->part = choice->parts->len == 1 ? EXPORT_NAME_WHOLE : (int) i;
    if (!can_be_asked_for (forest, name))
      continue;
    (*left)--;
    if (!add (opaque, name, choice))
      return false;
  }
  return true;
}

static bool
list_disk (const Source *source, const Settings *settings, const Disk *disk,
           guint *left, ExportsAdd add, void *opaque)
{
  const Forest *forest = offer_forest (source->offer);
  const GPtrArray *all = forest_all (forest);
  const char *since = default_checkpoint (source, settings, disk, NULL);

  if (since || disk->full) {
    g_auto (ExportChoice) choice = { 0 };
    if (plan (source, disk, since, &choice, NULL)
        && !list_view (forest, disk->target, &choice, left, add, opaque))
      return false;
  }
  for (guint i = 0; i < all->len && *left > 0; i++) {
    const Checkpoint *checkpoint = g_ptr_array_index (all, i);
    if (!checkpoint_bitmap (checkpoint, disk->target) && !disk->full)
      continue;
    g_auto (ExportChoice) choice = { 0 };
    g_autofree char *name = export_name_format (disk->target,
                                                checkpoint->name,
                                                EXPORT_NAME_WHOLE);
    if (plan (source, disk, checkpoint->name, &choice, NULL)
        && !list_view (forest, name, &choice, left, add, opaque))
      return false;
  }
  return true;
}

bool
exports_list (const Source *source, const Settings *settings, ExportsAdd add,
              void *opaque)
{
  guint left = EXPORTS_LIMIT;

  for (guint i = 0; i < source->disks->len; i++)
    if (!list_disk (source, settings,
                    g_ptr_array_index (source->disks, i), &left, add, opaque))
      return false;
  return true;
}
