/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tables for people.  On a terminal they are as wide as it, if need be with
 * names cut short, and have bold titles (unless NO_COLOR is set).
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

typedef struct Table Table;

/* A column of texts may be cut short; one of numbers stands to the right, and
 * is whole.
 */
typedef enum {
  COLUMN_TEXT,
  COLUMN_WHOLE,
  COLUMN_NUMBER,
} ColumnKind;

Table *table_new (void);
void table_free (Table *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Table, table_free)

/* Before any cell.  title: static. */
void table_add_column (Table *table, ColumnKind kind, const char *title);

/* The next cell, row by row.  Takes it; NULL: "-".  Text of others is made
 * printable here.
 */
void table_add (Table *table, char *cell);

/* A line of its own below the last row, whole.  Takes it. */
void table_add_line (Table *table, char *line);

void table_print (const Table *table);

/* "64.0 KiB", or bytes.  A new string; g_free (). */
char *table_size (guint64 bytes);

/* As virsh says it, in local time.  A new string, or NULL if it is no time;
 * g_free ().
 */
char *table_time (guint64 seconds);
