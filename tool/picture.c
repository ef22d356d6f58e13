/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "base/printable.h"
#include "tool/picture.h"
#include "tool/table.h"

static guint64
granularity_of (const DiskView *view)
{
  guint64 coarsest = 0;

  for (guint i = 0; i < view->parts->len; i++)
    coarsest = MAX (coarsest,
                    part_granularity (view->disk,
                                      g_ptr_array_index (view->parts, i)));
  return coarsest;
}

Picture *
picture_new (const DiskView *view, guint64 size, guint cells)
{
  Picture *picture = g_new0 (Picture, 1);
  g_autofree char *title = view->checkpoint
    ? g_strdup_printf ("%s since %s", view->disk->target,
                       view->checkpoint->name)
    : g_strdup_printf ("%s, all of it", view->disk->target);

  picture->title = g_utf8_make_valid (title, -1);
  printable_make (picture->title);
  picture->granularity = granularity_of (view);
  map_cells_init (&picture->cells, size, cells, picture->granularity);
  return picture;
}

void
picture_free (Picture *picture)
{
  if (!picture)
    return;
  map_cells_clear (&picture->cells);
  g_free (picture->title);
  g_free (picture);
}

/* "1.6 %", and never 0 of something, nor 100 of less than all. */
static char *
percentage (guint64 part, guint64 whole)
{
  const double percent = whole == 0 ? 0 : 100.0 * (double) part / (double) whole;

  if (part > 0 && percent < 0.1)
    return g_strdup ("under 0.1 %");
  if (part < whole && percent >= 99.95)
    return g_strdup ("over 99.9 %");
  return g_strdup_printf ("%.1f %%", percent);
}

char *
picture_dirty (const Picture *picture)
{
  const MapCells *cells = &picture->cells;
  g_autofree char *dirty = table_size (cells->dirty);
  g_autofree char *zero = table_size (cells->zero);
  g_autofree char *size = table_size (cells->size);
  g_autofree char *percent = percentage (cells->dirty, cells->size);

  return g_strdup_printf ("%s of %s dirty (%s) in %" G_GUINT64_FORMAT
                          " run%s, %s of it zeroes", dirty, size, percent,
                          cells->runs, cells->runs == 1 ? "" : "s", zero);
}

char *
picture_scale (const Picture *picture)
{
  g_autofree char *cell
    = table_size (G_GUINT64_CONSTANT (1) << picture->cells.shift);
  g_autofree char *granularity = table_size (picture->granularity);

  return picture->granularity == 0
    ? g_strdup_printf ("a cell is %s", cell)
    : g_strdup_printf ("a cell is %s; the record's granularity is %s", cell,
                       granularity);
}
