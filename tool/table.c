/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <stdio.h>

#include "base/printable.h"
#include "tool/table.h"
#include "tool/terminal.h"

#define GAP 2
/* Of a name, so much stays. */
#define LEAST 8

typedef struct {
  ColumnKind kind;
  const char *title;
  guint width;
} Column;

typedef struct {
  guint below;                  /* how many cells come before */
  char *text;
} Line;

struct Table {
  GArray *columns;              /* of Column */
  GPtrArray *cells;             /* of char *, row by row */
  GPtrArray *lines;             /* of Line, in the order of rows */
};

static void
line_free (gpointer data)
{
  Line *line = data;

  g_free (line->text);
  g_free (line);
}

Table *
table_new (void)
{
  Table *table = g_new0 (Table, 1);

  table->columns = g_array_new (FALSE, FALSE, sizeof (Column));
  table->cells = g_ptr_array_new_with_free_func (g_free);
  table->lines = g_ptr_array_new_with_free_func (line_free);
  return table;
}

void
table_free (Table *table)
{
  if (!table)
    return;
  g_array_unref (table->columns);
  g_ptr_array_unref (table->cells);
  g_ptr_array_unref (table->lines);
  g_free (table);
}

/* In places of the terminal. */
static guint
width_of (const char *text)
{
  guint width = 0;

  for (; *text; text = g_utf8_next_char (text)) {
    const gunichar c = g_utf8_get_char (text);
    width += g_unichar_iszerowidth (c) ? 0 : g_unichar_iswide (c) ? 2 : 1;
  }
  return width;
}

static Column *
column_at (const Table *table, guint index)
{
  return &g_array_index (table->columns, Column, index);
}

void
table_add_column (Table *table, ColumnKind kind, const char *title)
{
  const Column column
    = { .kind = kind, .title = title, .width = width_of (title) };

  g_array_append_val (table->columns, column);
}

void
table_add (Table *table, char *cell)
{
  Column *column
    = column_at (table, table->cells->len % table->columns->len);
  char *text = g_utf8_make_valid (cell ? cell : "-", -1);

  g_free (cell);
  printable_make (text);
  column->width = MAX (column->width, width_of (text));
  g_ptr_array_add (table->cells, text);
}

void
table_add_line (Table *table, char *text)
{
  Line *line = g_new0 (Line, 1);

  line->below = table->cells->len;
  line->text = g_utf8_make_valid (text, -1);
  g_free (text);
  printable_make (line->text);
  g_ptr_array_add (table->lines, line);
}

/* Take what is too much from the widest texts, as long as there is one. */
static void
fit (const Table *table, guint room)
{
  guint wide = 0;

  for (guint i = 0; i < table->columns->len; i++)
    wide += column_at (table, i)->width + (i ? GAP : 0);
  while (room && wide > room) {
    Column *widest = NULL;
    for (guint i = 0; i < table->columns->len; i++) {
      Column *column = column_at (table, i);
      if (column->kind == COLUMN_TEXT && column->width > LEAST
          && (!widest || column->width > widest->width))
        widest = column;
    }
    if (!widest)
      return;
    widest->width--;
    wide--;
  }
}

/* Up to width places of text, and a sign that there is more. */
static char *
shorten (const char *text, guint width)
{
  const char *more = g_get_charset (NULL) ? "…" : "~";
  const char *end = text;
  guint taken = 0;

  for (; *end; end = g_utf8_next_char (end)) {
    const gunichar c = g_utf8_get_char (end);
    const guint next
      = g_unichar_iszerowidth (c) ? 0 : g_unichar_iswide (c) ? 2 : 1;
    if (taken + next + 1 > width)
      break;
    taken += next;
  }
  return g_strdup_printf ("%.*s%s", (int) (end - text), text, more);
}

/* cells: as many as there are columns. */
static void
print_row (const Table *table, char *const *cells)
{
  const guint last = table->columns->len - 1;

  for (guint i = 0; i <= last; i++) {
    const Column *column = column_at (table, i);
    g_autofree char *cell = width_of (cells[i]) > column->width
      ? shorten (cells[i], column->width) : g_strdup (cells[i]);
    const int blanks = (int) (column->width - width_of (cell));
    const bool is_number = column->kind == COLUMN_NUMBER;
    printf ("%*s%s%*s", is_number ? blanks : 0, "", cell,
            i == last ? 0 : GAP + (is_number ? 0 : blanks), "");
  }
  putchar ('\n');
}

void
table_print (const Table *table)
{
  const guint columns = table->columns->len;
  g_autofree char **titles = g_new (char *, columns);
  const bool colours = terminal_has_colours ();

  fit (table, terminal_is_there () ? terminal_columns () : 0);
  for (guint i = 0; i < columns; i++)
    titles[i] = (char *) column_at (table, i)->title;
  fputs (colours ? "\033[1m" : "", stdout);
  print_row (table, titles);
  fputs (colours ? "\033[0m" : "", stdout);
  guint next = 0;
  for (guint i = 0; i <= table->cells->len; i += columns) {
    if (i > 0)
      print_row (table, (char *const *) table->cells->pdata + i - columns);
    for (; next < table->lines->len; next++) {
      const Line *line = g_ptr_array_index (table->lines, next);
      if (line->below > i)
        break;
      puts (line->text);
    }
  }
}

char *
table_size (guint64 bytes)
{
  static const char units[] = "KMGTPE";
  double shown = (double) bytes / 1024;
  guint unit = 0;

  if (bytes < 1024)
    return g_strdup_printf ("%u B", (guint) bytes);
  for (; shown >= 1024 && units[unit + 1]; unit++)
    shown /= 1024;
  return g_strdup_printf ("%.1f %ciB", shown, units[unit]);
}

char *
table_time (guint64 seconds)
{
  g_autoptr (GDateTime) time
    = g_date_time_new_from_unix_local ((gint64) MIN (seconds, G_MAXINT64));

  return time ? g_date_time_format (time, "%Y-%m-%d %H:%M:%S %z") : NULL;
}
