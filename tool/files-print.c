/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "filesystem/line.h"
#include "tool/files-print.h"
#include "tool/json-print.h"
#include "tool/table.h"

/* Most bytes first; what is equal, by name. */
static int
compare_lines (const void *first, const void *second)
{
  const Line *a = *(Line *const *) first;
  const Line *b = *(Line *const *) second;

  if (a->bytes != b->bytes)
    return a->bytes > b->bytes ? -1 : 1;
  const int order = strcmp (a->volume, b->volume);
  return order ? order : strcmp (a->text, b->text);
}

static guint64
total (const FilesFound *found)
{
  guint64 bytes = 0;

  for (guint i = 0; i < found->lines->len; i++)
    bytes += ((const Line *) g_ptr_array_index (found->lines, i))->bytes;
  return bytes;
}

/* A path, and what else must be known of it. */
static char *
describe (const Line *line)
{
  g_autofree char *others = NULL;
  const bool slash = line->kind == LINE_DIRECTORY
    && strcmp (line->text, "/") != 0;
  g_autofree char *shared = line->shared > 0 ? table_size (line->shared) : NULL;

  if (line->others) {
    g_autoptr (GString) text = g_string_new (NULL);
    for (guint i = 1; i < line->others->len; i++)
      g_string_append_printf (text, ", %s", (const char *)
                              g_ptr_array_index (line->others, i));
    others = g_string_free (g_steal_pointer (&text), FALSE);
  }

  return g_strconcat (line->text, slash ? "/" : "",
                      line->kind == LINE_SYMLINK ? " (symbolic link)" : "",
                      line->kind == LINE_REMOVED ? " (removed, still open)" : "",
                      others ? others : "", shared ? " (and shares " : "",
                      shared ? shared : "", shared ? ")" : "", NULL);
}

typedef bool (*Choice) (const Line *line);

static bool
has_changed (const Line *line)
{
  return line_kind_is_file (line->kind) && line->changed != CHANGED_NO;
}

static bool
is_beside (const Line *line)
{
  return line_kind_is_file (line->kind) && line->changed == CHANGED_NO;
}

static bool
is_no_file (const Line *line)
{
  return !line_kind_is_file (line->kind);
}

/* Those lines as a table, below a title; nothing, if there are none. */
static void
print_section (const FilesFound *found, Choice choice, const char *title,
               const char *what)
{
  g_autoptr (Table) table = table_new ();
  bool any = false;

  table_add_column (table, COLUMN_NUMBER, "Bytes");
  table_add_column (table, COLUMN_WHOLE, "Volume");
  if (choice != is_no_file)
    table_add_column (table, COLUMN_NUMBER, "Inode");
  table_add_column (table, COLUMN_TEXT, what);
  for (guint i = 0; i < found->lines->len; i++) {
    const Line *line = g_ptr_array_index (found->lines, i);
    if (!choice (line))
      continue;
    any = true;
    table_add (table, table_size (line->bytes));
    table_add (table, g_strdup (line->volume));
    if (choice != is_no_file)
      table_add (table, g_strdup_printf ("%" G_GUINT64_FORMAT, line->inode));
    table_add (table, describe (line));
  }
  if (!any)
    return;
  printf ("%s\n\n", title);
  table_print (table);
  putchar ('\n');
}

void
files_print (const FilesFound *found)
{
  g_autofree char *bytes = table_size (total (found));

  g_ptr_array_sort (found->lines, compare_lines);
  print_section (found, has_changed, found->has_since
                 ? "Changed since the checkpoint:"
                 : "Changed since the checkpoint, or beside what was:", "Path");
  print_section (found, is_beside, "Beside what was changed, and, by their own "
                 "times, not changed since:", "Path");
  print_section (found, is_no_file, "In no file:", "What");
  printf ("%s %s dirty on", bytes, total (found) == 1 ? "is" : "are");
  for (guint i = 0; i < found->disks->len; i++)
    printf ("%s %s", i > 0 ? "," : "",
            (const char *) g_ptr_array_index (found->disks, i));
  putchar ('\n');
}

static void
add_line (JsonBuilder *builder, const Line *line)
{
  json_builder_begin_object (builder);
  json_add_text (builder, "kind", line_kind_name (line->kind));
  json_add_text (builder, "volume", line->volume);
  json_add_number (builder, "bytes", line->bytes);
  if (line_kind_is_file (line->kind)) {
    json_add_text (builder, "path", line->text);
    if (line->others)
      json_add_texts (builder, "paths", line->others);
    json_add_number (builder, "inode", line->inode);
    json_add_number (builder, "links", line->links);
    json_add_number (builder, "shared", line->shared);
    if (line->changed == CHANGED_PERHAPS)
      json_add_text (builder, "changed", NULL);
    else
      json_add_bool (builder, "changed", line->changed == CHANGED_YES);
  }
  else
    json_add_text (builder, "what", line->text);
  json_builder_end_object (builder);
}

void
files_print_json (const FilesFound *found)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  g_ptr_array_sort (found->lines, compare_lines);
  json_builder_begin_object (builder);
  json_add_text (builder, "checkpoint", found->checkpoint);
  if (found->has_since)
    json_add_number (builder, "creationTime", found->since);
  else
    json_add_text (builder, "creationTime", NULL);
  json_add_texts (builder, "disks", found->disks);
  json_add_texts (builder, "leftOut", found->left_out);
  json_add_number (builder, "bytes", total (found));
  json_add_texts (builder, "notes", found->notes);
  json_builder_set_member_name (builder, "lines");
  json_builder_begin_array (builder);
  for (guint i = 0; i < found->lines->len; i++)
    add_line (builder, g_ptr_array_index (found->lines, i));
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  json_print (builder);
}
