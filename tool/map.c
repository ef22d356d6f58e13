/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Where disks changed: pictures for people, extents for programs.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "tool/command.h"
#include "tool/map-lines.h"
#include "tool/picture.h"
#include "tool/progress.h"
#include "tool/reading.h"
#include "tool/report-file.h"
#include "tool/say.h"
#include "tool/terminal.h"

#define DOING "reading the map"

typedef struct {
  const char *option;
  bool given;
  const LineFormat *lines;      /* NULL: it is a picture */
} Way;

/* NULL: more than one is asked for.  Without any, people get a picture, and
 * programs what nbdinfo prints.
 */
static const LineFormat *
choose (const Options *options, bool *is_picture, GError **error)
{
  const Way ways[] = {
    { "--json", options->json, &line_format_json },
    { "--extents", options->extents, &line_format_extents },
    { "--imageio", options->imageio, &line_format_imageio },
    { "--kubevirt", options->kubevirt, &line_format_kubevirt },
    { "--svg", options->svg != NULL, NULL },
    { "--text", options->text, NULL },
  };
  const Way *chosen = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (ways); i++) {
    if (!ways[i].given)
      continue;
    if (chosen)
      return error_null (error, EINVAL, "a map is printed in one way, and %s "
                         "and %s are given; leave one of them out",
                         chosen->option, ways[i].option);
    chosen = &ways[i];
  }
  *is_picture = chosen ? !chosen->lines : terminal_is_there ();
  return chosen && chosen->lines ? chosen->lines : &line_format_nbdinfo;
}

static void
warn_unless_exact (const OpenView *open, const DiskView *view)
{
  if (!open_view_is_exact (open))
    reporter_warn (&tool_reporter, "disk %s: its map is too large to be kept "
                   "exactly, so some blocks that are clean are shown as dirty",
                   view->disk->target);
}

typedef struct {
  ProgressPart part;            /* first: progress_reach is given it */
  MapCells *cells;
} Passing;

static bool
add_to_cells (void *opaque, guint64 offset, guint64 length, DirtyState state)
{
  return map_cells_add (((Passing *) opaque)->cells, offset, length, state);
}

static bool
fill (OpenView *open, MapCells *cells, GError **error)
{
  g_autoptr (Progress) progress = progress_new (DOING, cells->size);
  Passing passing = { { progress, 0 }, cells };

  return open_view_pass (open, add_to_cells, progress_reach, &passing, error);
}

static Picture *
draw (const Reading *reading, const DiskView *view, guint cells,
      GError **error)
{
  g_autoptr (OpenView) open = open_view_new (reading->parts, view, error);

  if (!open)
    return NULL;
  g_autoptr (Picture) picture
    = picture_new (view, open_view_size (open), cells);
  if (!fill (open, &picture->cells, error))
    return NULL;
  warn_unless_exact (open, view);
  return g_steal_pointer (&picture);
}

/* The targets that are asked for, borrowed. */
static GPtrArray *
wanted_targets (const Reading *reading, const Options *options)
{
  GPtrArray *targets = g_ptr_array_new ();
  const GPtrArray *disks = reading->source->disks;

  if (options->request.disk)
    g_ptr_array_add (targets, options->request.disk);
  for (guint i = 0; !options->request.disk && i < disks->len; i++)
    g_ptr_array_add (targets, ((Disk *) g_ptr_array_index (disks, i))->target);
  return targets;
}

/* One disk that cannot be shown keeps none of the others back, and is not
 * passed over in silence.
 */
static GPtrArray *
draw_all (const Reading *reading, const Options *options,
          const char *checkpoint, Status *status, GError **error)
{
  g_autoptr (GPtrArray) targets = wanted_targets (reading, options);
  const guint cells = options->svg ? picture_svg_cells (targets->len)
    : picture_text_cells ();
  g_autoptr (GPtrArray) pictures
    = g_ptr_array_new_with_free_func ((GDestroyNotify) picture_free);

  for (guint i = 0; i < targets->len; i++) {
    g_autoptr (GError) failure = NULL;
    const DiskView *view
      = catalogue_lookup (reading->catalogue, g_ptr_array_index (targets, i),
                          checkpoint, &failure);
    Picture *picture = view ? draw (reading, view, cells, &failure) : NULL;
    if (picture) {
      g_ptr_array_add (pictures, picture);
      continue;
    }
    *status = STATUS_FOUND;
    if (targets->len == 1) {
      g_propagate_error (error, g_steal_pointer (&failure));
      return NULL;
    }
    reporter_warn_error (&tool_reporter, failure);
  }
  return g_steal_pointer (&pictures);
}

static Status
show_pictures (const Reading *reading, const Options *options,
               const char *checkpoint, GError **error)
{
  Status status = STATUS_FINE;
  g_autoptr (GPtrArray) pictures
    = draw_all (reading, options, checkpoint, &status, error);

  if (!pictures || pictures->len == 0)
    return STATUS_FAILED;
  if (!options->svg) {
    for (guint i = 0; i < pictures->len; i++) {
      fputs (i == 0 ? "" : "\n", stdout);
      picture_print (g_ptr_array_index (pictures, i));
    }
    return status;
  }
  g_autofree char *svg = picture_svg (pictures);
  if (strcmp (options->svg, "-") == 0)
    fputs (svg, stdout);
  else if (!report_file_put (options->svg, PICTURE_SVG_BEGIN, svg, error))
    status = STATUS_FAILED;
  return status;
}

static Status
print_lines (const Reading *reading, const Options *options,
             const char *checkpoint, const LineFormat *format, GError **error)
{
  const DiskView *view = catalogue_lookup (reading->catalogue,
                                           options->request.disk, checkpoint,
                                           error);
  g_autoptr (OpenView) open
    = view ? open_view_new (reading->parts, view, error) : NULL;

  if (!open
      || !map_lines_print (open, format,
                           progress_new (DOING, open_view_size (open)), error))
    return STATUS_FAILED;
  warn_unless_exact (open, view);
  return STATUS_FINE;
}

Status
command_map (const Options *options, GError **error)
{
  const char *checkpoint = options_word (options);
  bool is_picture;
  const LineFormat *format = choose (options, &is_picture, error);
  g_auto (Reading) reading = { 0 };

  if (!format
      || (options->svg && strcmp (options->svg, "-") != 0
          && !report_file_check (options->svg, PICTURE_SVG_BEGIN, error))
      || !reading_open (&reading, options, checkpoint, error))
    return STATUS_FAILED;
  return is_picture ? show_pictures (&reading, options, checkpoint, error)
    : print_lines (&reading, options, checkpoint, format, error);
}
