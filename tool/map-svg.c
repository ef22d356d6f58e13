/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Cells of one kind are one path, and those beside each other one line in it.  It
 * is drawn in units of cells and scaled, so that all numbers are short ones.  Colours
 * are classes: a viewer that likes it dark gets others.
 */
#include <config.h>

#include "tool/picture.h"
#include "tool/table.h"

#define COLUMNS 128
#define ROWS 16
#define ROWS_IN_ALL 256
#define CELL_WIDTH 5
#define CELL_HEIGHT 10
#define MARGIN 16
#define LABEL 76
#define WIDTH (MARGIN + LABEL + COLUMNS * CELL_WIDTH + MARGIN)
#define HEAD 52                 /* above the cells: title and numbers */
#define FOOT 30                 /* below them: the scale */
#define LEGEND 34

static const char style[] =
  "<style>"
  "svg{font:12px system-ui,sans-serif;color-scheme:light dark}"
  ".b{fill:#fff}.t{fill:#1f2328}.s{fill:#57606a}.t{font-size:15px;"
  "font-weight:600}.l{font-size:10px;text-anchor:end;fill:#57606a}"
  "path{fill:none;stroke-width:.8}"
  ".c0{stroke:#e7eaee}.c1,.c2{stroke:#0a66c2}.c1{stroke-width:.3}"
  ".c2{stroke-width:.55}.c3{stroke:#f7c59f}.c4{stroke:#f19a56}"
  ".c5{stroke:#dc6b16}.c6{stroke:#a33f00}"
  "@media(prefers-color-scheme:dark){"
  ".b{fill:#0d1117}.t{fill:#e6edf3}.s,.l{fill:#9ba5b0}"
  ".c0{stroke:#252b33}.c1,.c2{stroke:#58a6ff}.c3{stroke:#6b3f1d}"
  ".c4{stroke:#a85a1c}.c5{stroke:#e0852f}.c6{stroke:#ffc078}}"
  "</style>\n";

guint
picture_svg_cells (guint pictures)
{
  return COLUMNS * CLAMP (ROWS_IN_ALL / MAX (pictures, 1), 1, ROWS);
}

static guint
rows_of (const Picture *picture)
{
  return MAX (1, (picture->cells.count + COLUMNS - 1) / COLUMNS);
}

static guint
height_of (const Picture *picture)
{
  return HEAD + rows_of (picture) * CELL_HEIGHT + FOOT;
}

/* All cells of that level: a line for each run of them in a row. */
static void
add_level (GString *svg, const MapCells *cells, CellLevel level)
{
  bool any = false;

  for (guint i = 0, end; i < cells->count; i = end) {
    end = i + 1;
    if (map_cells_level (cells, i) != level)
      continue;
    while (end < cells->count && end % COLUMNS != 0
           && map_cells_level (cells, end) == level)
      end++;
    if (!any)
      g_string_append_printf (svg, "<path class=\"c%u\" d=\"", level);
    g_string_append_printf (svg, "M%u %u.5h%u", i % COLUMNS, i / COLUMNS,
                            end - i);
    any = true;
  }
  if (any)
    g_string_append (svg, "\"/>\n");
}

static void
add_text (GString *svg, const char *class, guint x, guint y, const char *text)
{
  g_autofree char *escaped = g_markup_escape_text (text, -1);

  g_string_append_printf (svg, "<text class=\"%s\" x=\"%u\" y=\"%u\">%s"
                          "</text>\n", class, x, y, escaped);
}

static void
add_labels (GString *svg, const Picture *picture, guint top)
{
  const MapCells *cells = &picture->cells;
  const guint rows = rows_of (picture), step = rows > 4 ? 4 : 1;

  for (guint row = 0; row < rows; row += step) {
    g_autofree char *label
      = table_size ((guint64) (row * COLUMNS) << cells->shift);
    add_text (svg, "l", MARGIN + LABEL - 8, top + row * CELL_HEIGHT + 9, label);
  }
}

static void
add_picture (GString *svg, const Picture *picture, guint top)
{
  g_autofree char *dirty = picture_dirty (picture);
  g_autofree char *scale = picture_scale (picture);
  const guint bottom = top + HEAD + rows_of (picture) * CELL_HEIGHT;

  add_text (svg, "t", MARGIN, top + 22, picture->title);
  add_text (svg, "s", MARGIN, top + 41, dirty);
  add_labels (svg, picture, top + HEAD);
  g_string_append_printf (svg, "<g transform=\"translate(%u %u) scale(%u %u)\">"
                          "\n", MARGIN + LABEL, top + HEAD, CELL_WIDTH,
                          CELL_HEIGHT);
  for (guint level = 0; level < CELL_LEVELS; level++)
    add_level (svg, &picture->cells, (CellLevel) level);
  g_string_append (svg, "</g>\n");
  add_text (svg, "s", MARGIN + LABEL, bottom + 18, scale);
}

/* Signs, then what they mean. */
static void
add_key (GString *svg, guint *x, guint y, CellLevel first, CellLevel last,
         const char *meaning)
{
  const guint count = last - first + 1;

  g_string_append_printf (svg, "<g transform=\"translate(%u %u) scale(14 %u)\">",
                          *x, y - CELL_HEIGHT + 1, CELL_HEIGHT);
  for (guint i = 0; i < count; i++)
    g_string_append_printf (svg, "<path class=\"c%u\" d=\"M%u .5h1\"/>",
                            first + i, i);
  g_string_append (svg, "</g>\n");
  *x += count * 14 + 6;
  add_text (svg, "s", *x, y, meaning);
  *x += 6 * (guint) g_utf8_strlen (meaning, -1) + 16;
}

static void
add_description (GString *svg, const GPtrArray *pictures)
{
  g_autoptr (GString) titles = g_string_new ("Where disks changed: ");
  g_autoptr (GString) numbers = g_string_new (NULL);

  for (guint i = 0; i < pictures->len; i++) {
    const Picture *picture = g_ptr_array_index (pictures, i);
    g_autofree char *dirty = picture_dirty (picture);
    g_autofree char *scale = picture_scale (picture);
    g_string_append_printf (titles, "%s%s", i == 0 ? "" : "; ", picture->title);
    g_string_append_printf (numbers, "%s%s: %s; %s.", i == 0 ? "" : " ",
                            picture->title, dirty, scale);
  }
  g_autofree char *title = g_markup_escape_text (titles->str, -1);
  g_autofree char *description = g_markup_escape_text (numbers->str, -1);
  g_string_append_printf (svg, "<title id=\"t\">%s</title>\n<desc id=\"d\">%s"
                          "</desc>\n", title, description);
}

char *
picture_svg (const GPtrArray *pictures)
{
  GString *svg = g_string_new (PICTURE_SVG_BEGIN);
  guint height = LEGEND, top = 0, x = MARGIN + LABEL;

  for (guint i = 0; i < pictures->len; i++)
    height += height_of (g_ptr_array_index (pictures, i));
  g_string_append_printf (svg, "viewBox=\"0 0 %u %u\" width=\"%u\" "
                          "height=\"%u\" role=\"img\" aria-labelledby=\"t d\">"
                          "\n", WIDTH, height, WIDTH, height);
  add_description (svg, pictures);
  g_string_append (svg, style);
  g_string_append_printf (svg, "<rect class=\"b\" width=\"%u\" height=\"%u\" "
                          "rx=\"6\"/>\n", WIDTH, height);
  for (guint i = 0; i < pictures->len; i++) {
    const Picture *picture = g_ptr_array_index (pictures, i);
    add_picture (svg, picture, top);
    top += height_of (picture);
  }
  add_key (svg, &x, top + 14, CELL_CLEAN, CELL_CLEAN, "clean");
  add_key (svg, &x, top + 14, CELL_QUARTER, CELL_FULL,
           "dirty: up to a quarter, half, three quarters, all");
  add_key (svg, &x, top + 14, CELL_ZERO_HALF, CELL_ZERO, "zeroes only");
  g_string_append (svg, "</svg>\n");
  return g_string_free (svg, FALSE);
}
