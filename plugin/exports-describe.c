/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The words that describe an export to people.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "parts/part-name.h"
#include "parts/view-label.h"
#include "plugin/exports.h"

/* NBD allows strings of 4096 bytes, of which filters may want some. */
#define TEXT_BYTES 3900

static guint64
dirty_bytes (const ExportChoice *choice, const Part *part,
             OpenParts *cache, GError **error)
{
  const Disk *disk = choice->view->disk;
  guint64 told;

  if (part_dirty_bytes (disk, part, &told))
    return told;
  OpenPart *opened = open_part_acquire (cache, disk, part, error);
  if (!opened)
    return 0;
  NbdBudget budget = nbd_life_budget (nbd_pool_life (opened->pool));
  g_auto (MapView) map = { 0 };
  if (map_reader_need (opened->reader, 0, nbd_pool_size (opened->pool),
                       &budget, &map, error) && error && !*error)
    error_set (error, EIO, "its dirty map cannot be read");
  const guint64 bytes
    = dirty_map_dirty_bytes (map_reader_map (opened->reader));
  open_part_release (opened);
  return bytes;
}

static void
append_checkpoint (GString *text, const Checkpoint *checkpoint)
{
  if (!checkpoint)
    return;
  g_string_append_printf (text, " since checkpoint %s", checkpoint->name);
  if (checkpoint->has_creation_time) {
    g_autoptr (GDateTime) time = g_date_time_new_from_unix_utc (
      (gint64) MIN (checkpoint->creation_time, G_MAXINT64));
    g_autofree char *formatted
      = time ? g_date_time_format (time, "%Y-%m-%dT%H:%M:%SZ") : NULL;
    if (formatted)
      g_string_append_printf (text, " of %s", formatted);
  }
  if (checkpoint->parent)
    g_string_append_printf (text, ", parent %s", checkpoint->parent->name);
}

/* An export of NBD tells of a bitmap no more than its bits; but libvirt
 * begins no job since a checkpoint that is not complete.
 */
static const char *
health (const Source *source, const DiskView *view, const Part *part)
{
  return part->kind == PART_WHOLE || part_as_it_stood (view->disk, part) ? ""
    : source->offer->base ? "; healthy"
    : disk_layer (view->disk, part->layer)->is_nbd
    ? "; health not told by the server"
    : view->parts->len > 1 ? "; this part is healthy" : "; healthy";
}

/* Of all parts, since who unites them shows what is said of one. */
static void
append_as_it_stood (GString *text, const DiskView *view)
{
  g_autoptr (GHashTable) said = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < view->parts->len; i++) {
    const Part *part = g_ptr_array_index (view->parts, i);
    if (part_as_it_stood (view->disk, part)
        && g_hash_table_add (said, part->bitmap->name))
      g_string_append_printf (text, "; bitmap %s, named by hand, as it stood: "
                              "what was written after it was disabled is not "
                              "in it", part->bitmap->name);
  }
}

/* Who asks for all of a disk gets it, whatever was recorded. */
static const char *
why_whole (const DiskView *view)
{
  g_autoptr (GPtrArray) names = disk_bitmap_names (view->disk);

  return !view->checkpoint && names->len > 0
    ? "no checkpoint was named" : "nothing was recorded";
}

/* False: it could not be read. */
static bool
append_dirty (GString *text, const Source *source, const ExportChoice *choice,
              OpenParts *cache)
{
  const Part *part = export_choice_part (choice);
  g_autoptr (GError) failure = NULL;

  if (source->look_only) {
    g_string_append (text, "; what is dirty, and whether the record is "
                     "healthy, is known once a backup is begun");
    return false;
  }
  const bool was_over = nbd_life_is_over (source->life);
  const guint64 dirty = dirty_bytes (choice, part, cache, &failure);
  if (failure) {
    g_autofree char *line = error_line (failure, source->reporter->remedies);
    /* Only the client that asks would see it, but it is so for all who read. */
    if (!was_over && nbd_life_is_over (source->life)
        && !nbd_life_is_stopped (source->life))
      reporter_warn_error (source->reporter, failure);
    g_string_append_printf (text, "; unusable: %s", line);
    return false;
  }
  if (part->kind == PART_WHOLE)
    g_string_append_printf (text, ", served whole, since %s",
                            why_whole (choice->view));
  g_string_append_printf (text, "; %" G_GUINT64_FORMAT " bytes dirty", dirty);
  if (part->bitmap && part->bitmap->granularity)
    g_string_append_printf (text, ", granularity %" G_GUINT64_FORMAT,
                            part->bitmap->granularity);
  g_string_append (text, health (source, choice->view, part));
  append_as_it_stood (text, choice->view);
  return true;
}

/* Of a disk without a record, the disk itself may be served all the same. */
static bool
has_whole (const Source *source, const char *target)
{
  const Disk *disk = disk_find (source->disks, target);
  g_autoptr (GPtrArray) parts = disk ? parts_disk (disk, NULL) : NULL;

  return parts != NULL;
}

static void
append_left_out (GString *text, const Source *source,
                 const ExportChoice *choice)
{
  const char *before = "; " SOURCE_LEFT_OUT ": disk ";
  const bool is_whole = export_choice_part (choice)->kind == PART_DISK;

  for (guint i = 0; i < source->left_out->len; i++) {
    const LeftOut *one = g_ptr_array_index (source->left_out, i);
    if (strcmp (one->target, choice->view->disk->target) == 0
        || (is_whole && has_whole (source, one->target)))
      continue;
    g_string_append_printf (text, "%s%s", before, one->target);
    before = ", ";
  }
}

/* A DirtyMapVisit. */
static bool
add_bytes (void *opaque, guint64 offset G_GNUC_UNUSED, guint64 length,
           DirtyState state)
{
  guint64 *bytes = opaque;      /* by state */

  bytes[state] += length;
  return true;
}

/* What is shown, which may be more than was recorded: by coalesce=, or as a map has
 * bounds.
 */
static bool
count_shown (const ExportChoice *choice, OpenParts *cache, guint64 *data,
             guint64 *zeroes)
{
  OpenPart *opened = open_part_acquire (cache, choice->view->disk,
                                        export_choice_part (choice), NULL);
  guint64 bytes[DIRTY_MAP_ZERO + 1] = { 0 };
  const bool ok
    = opened && map_reader_learn (opened->reader, NULL, NULL, NULL) == 0;

  if (ok) {
    const guint64 size = nbd_pool_size (opened->pool);
    DirtyRun run = { 0 };
    dirty_map_walk (map_reader_map (opened->reader), 0, 0, size, &run,
                    add_bytes, bytes);
    dirty_run_end (&run, size, add_bytes, bytes);
  }
  if (opened)
    open_part_release (opened);
  *data = bytes[DIRTY_MAP_DIRTY];
  *zeroes = bytes[DIRTY_MAP_ZERO];
  return ok;
}

static bool
has_ended (const DiskView *view)
{
  for (guint i = 0; i < view->parts->len; i++)
    if (part_as_it_stood (view->disk, g_ptr_array_index (view->parts, i)))
      return true;
  return false;
}

/* What programs read, who cannot ask which view it is otherwise.  NULL: what is
 * shown cannot be read.
 */
static char *
label (const ExportChoice *choice, const View *shown, guint64 size,
       OpenParts *cache)
{
  const DiskView *view = choice->view;
  const bool is_whole = choice->part == EXPORT_NAME_WHOLE;
  ViewLabel words = {
    .view = (char *) shown->name,
    .target = view->disk->target,
    .checkpoint = view->checkpoint ? view->checkpoint->name : NULL,
    .size = size,
    .part = is_whole ? 0 : (guint) choice->part,
    .parts = is_whole ? 1 : view->parts->len,
    .ended = has_ended (view),
  };

  return view->is_disk
    || count_shown (choice, cache, &words.data, &words.zeroes)
    ? view_label_format (&words) : NULL;
}

/* Names may be no UTF-8, as NBD wants it. */
static char *
cut (const GString *text, gsize most)
{
  char *valid = g_utf8_make_valid (text->str, (gssize) text->len);

  if (strlen (valid) > most) {
    char *end;
    g_utf8_validate (valid, (gssize) most, (const char **) &end);
    *end = '\0';
  }
  return valid;
}

char *
exports_describe (Source *source, const ExportChoice *choice,
                  const View *shown, guint64 size, OpenParts *cache)
{
  const Part *part = export_choice_part (choice);
  g_autoptr (GString) text = g_string_new (NULL);
  bool is_known = !source->look_only;

  if (choice->part != EXPORT_NAME_WHOLE) {
    g_autofree char *which
      = part_label_format ((guint) choice->part, choice->view->parts->len);
    g_string_append (text, which);
  }
  g_string_append_printf (text, "%sdisk %s", part->kind == PART_DISK
                          ? "the whole " : "", choice->view->disk->target);
  append_checkpoint (text, choice->view->checkpoint);
  if (choice->view->parts->len > 1)
    g_string_append_printf (text, ", to be united; in %s", layer_called (
                              disk_layer (choice->view->disk, part->layer)));
  if (part->kind == PART_DISK && !source->look_only)
    g_string_append_printf (text, ", %s",
                            source->ops->instant (choice->view->disk));
  else
    is_known = append_dirty (text, source, choice, cache);
  append_left_out (text, source, choice);
  if (source->ops->describe)
    source->ops->describe (source, text);
  g_autofree char *words
    = is_known && shown ? label (choice, shown, size, cache) : NULL;
  if (!words)
    return cut (text, TEXT_BYTES);
  g_autofree char *most = cut (text, TEXT_BYTES - strlen (words));
  return g_strconcat (most, " ", words, NULL);
}
