/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <stdio.h>

#include "tool/picture.h"
#include "tool/table.h"
#include "tool/terminal.h"

#define USUAL_COLUMNS 80
#define ROWS 16
/* "1023.9 GiB  ", before each row. */
#define LABEL 12

#define DATA_COLOUR "\033[33m"
#define ZERO_COLOUR "\033[36m"
#define CLEAN_COLOUR "\033[2m"
#define NO_COLOUR "\033[0m"

typedef struct {
  const char *block, *letter;   /* letter: where there is no UTF-8 */
  const char *colour;
  const char *meaning;          /* NULL: that of the one before */
} LevelShown;

static const LevelShown shown[CELL_LEVELS] = {
  [CELL_CLEAN]          = { "·", ".", CLEAN_COLOUR, "clean" },
  [CELL_QUARTER]        = { "░", "-", DATA_COLOUR,
                            "dirty, up to a quarter, half, three quarters, all" },
  [CELL_HALF]           = { "▒", "+", DATA_COLOUR, NULL },
  [CELL_THREE_QUARTERS] = { "▓", "*", DATA_COLOUR, NULL },
  [CELL_FULL]           = { "█", "#", DATA_COLOUR, NULL },
  [CELL_ZERO_HALF]      = { "▂", "o", ZERO_COLOUR, "zeroes only, up to half, all" },
  [CELL_ZERO]           = { "▄", "0", ZERO_COLOUR, NULL },
};

static guint
width (void)
{
  const guint columns = terminal_columns ();

  return columns == 0 ? USUAL_COLUMNS : columns;
}

/* With these, and cells of a power of two, rows begin at round numbers. */
static guint
columns_of_cells (void)
{
  static const guint round[] = { 192, 128, 96, 64, 48, 32, 24, 16 };
  const guint wide = width ();

  for (guint i = 0; i < G_N_ELEMENTS (round); i++)
    if (round[i] + LABEL <= wide)
      return round[i];
  return 8;
}

guint
picture_text_cells (void)
{
  return columns_of_cells () * ROWS;
}

typedef struct {
  bool utf8, colours;
  const char *colour;           /* the one that is on; NULL: none */
} Pen;

static void
set_colour (Pen *pen, const char *colour)
{
  if (!pen->colours || colour == pen->colour)
    return;
  if (pen->colour)
    fputs (NO_COLOUR, stdout);
  if (colour)
    fputs (colour, stdout);
  pen->colour = colour;
}

static void
print_level (Pen *pen, CellLevel level)
{
  set_colour (pen, shown[level].colour);
  fputs (pen->utf8 ? shown[level].block : shown[level].letter, stdout);
}

static void
print_row (const MapCells *cells, guint first, guint end, Pen *pen)
{
  g_autofree char *label = table_size ((guint64) first << cells->shift);

  printf ("%*s  ", LABEL - 2, label);
  for (guint i = first; i < end; i++)
    print_level (pen, map_cells_level (cells, i));
  set_colour (pen, NULL);
  putchar ('\n');
}

/* Words are put on lines as wide as the terminal, of which so many places are
 * used already.
 */
static void
print_words (guint used, const char *text)
{
  const guint wide = width ();
  g_auto (GStrv) words = g_strsplit (text, " ", -1);

  for (char **word = words; *word; word++) {
    const guint length = (guint) g_utf8_strlen (*word, -1);
    const bool fits = used == 0 || used + 1 + length <= wide;
    if (used > 0)
      putchar (fits ? ' ' : '\n');
    used = used > 0 && fits ? used + 1 + length : length;
    fputs (*word, stdout);
  }
  putchar ('\n');
}

/* Each on a line of its own, as the signs are best seen together. */
static void
print_legend (Pen *pen)
{
  static const CellLevel order[] = {
    CELL_CLEAN, CELL_QUARTER, CELL_HALF, CELL_THREE_QUARTERS, CELL_FULL,
    CELL_ZERO_HALF, CELL_ZERO,
  };
  const char *meaning = NULL;
  guint signs = 0;

  for (guint i = 0; i < G_N_ELEMENTS (order); i++) {
    const LevelShown *level = &shown[order[i]];
    if (level->meaning && meaning) {
      print_words (signs, meaning);
      signs = 0;
    }
    if (level->meaning)
      meaning = level->meaning;
    print_level (pen, order[i]);
    set_colour (pen, NULL);
    signs++;
  }
  print_words (signs, meaning);
}

void
picture_print (const Picture *picture)
{
  const MapCells *cells = &picture->cells;
  const guint columns = columns_of_cells ();
  g_autofree char *dirty = picture_dirty (picture);
  g_autofree char *scale = picture_scale (picture);
  Pen pen
    = { .utf8 = g_get_charset (NULL), .colours = terminal_has_colours () };

  set_colour (&pen, "\033[1m");
  fputs (picture->title, stdout);
  set_colour (&pen, NULL);
  putchar ('\n');
  print_words (0, dirty);
  for (guint i = 0; i < cells->count; i += columns)
    print_row (cells, i, MIN (cells->count, i + columns), &pen);
  print_words (0, scale);
  print_legend (&pen);
}
