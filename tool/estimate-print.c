/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What is counted is printed as it is, what is guessed with "~": a row is to fit
 * into 80 columns.
 */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "tool/estimate.h"
#include "tool/json-print.h"
#include "tool/table.h"

/* ── All disks together ── */

static void
add_cost (Estimated *sum, const Estimated *row)
{
  sum->is_known = sum->is_known && row->is_known;
  sum->is_dirty_only = sum->is_dirty_only || row->is_dirty_only;
  sum->cost.exact = sum->cost.exact && row->cost.exact;
  sum->cost.is_sampled = sum->cost.is_sampled && row->cost.is_sampled;
  sum->cost.dirty += row->cost.dirty;
  sum->cost.data += row->cost.data;
  sum->cost.zeroes += row->cost.zeroes;
  sum->cost.runs += row->cost.runs;
}

Estimated
estimate_sum (const GPtrArray *rows, guint first, guint *next)
{
  const Estimated *one = g_ptr_array_index (rows, first);
  Estimated sum = { .checkpoint = one->checkpoint, .is_known = true,
                    .cost = { .exact = true, .is_sampled = true } };

  for (*next = first; *next < rows->len; (*next)++) {
    const Estimated *row = g_ptr_array_index (rows, *next);
    if (g_strcmp0 (row->checkpoint, one->checkpoint) != 0)
      break;
    add_cost (&sum, row);
  }
  return sum;
}

/* Of rows[first] up to next; each disk is a file of its own. */
static guint64
sum_of_files (const GPtrArray *rows, guint first, guint next,
              guint64 (*length) (const Cost *cost))
{
  guint64 sum = 0;

  for (guint i = first; i < next; i++)
    sum += length (&((Estimated *) g_ptr_array_index (rows, i))->cost);
  return sum;
}

/* ── For people ── */

static char *
guessed (bool is_known, guint64 bytes)
{
  g_autofree char *size = table_size (bytes);

  return is_known ? g_strconcat ("~", size, NULL) : NULL;
}

static char *
counted (const Estimated *row, bool is_known, guint64 bytes)
{
  g_autofree char *size = table_size (bytes);

  return !is_known ? NULL
    : g_strconcat (row->cost.exact ? "" : "at most ", size, NULL);
}

/* disk: what stands for its name. */
static void
add_cells (Table *table, const char *checkpoint, const char *disk,
           const Estimated *row, guint64 plain, guint64 compressed)
{
  const bool all = row->is_known && !row->is_dirty_only;
  const Cost *cost = &row->cost;

  table_add (table, g_strdup (checkpoint));
  table_add (table, g_strdup (disk));
  table_add (table, counted (row, row->is_known, cost->dirty));
  table_add (table, counted (row, all, cost->data));
  table_add (table, counted (row, all, cost->zeroes));
  table_add (table, all ? g_strdup_printf ("%" G_GUINT64_FORMAT, cost->runs)
             : NULL);
  table_add (table, guessed (all, plain));
  table_add (table, guessed (all && cost->is_sampled, compressed));
}

static void
add_row (Table *table, const Estimated *row)
{
  add_cells (table, row->cost.is_whole ? "(full)" : row->checkpoint,
             row->target, row, cost_plain (&row->cost),
             cost_compressed (&row->cost));
}

/* Most reasons name the disk themselves. */
static char *
why_line (const Estimated *row)
{
  g_autofree char *disk = g_strdup_printf ("disk %s: ", row->target);
  const bool is_said = g_str_has_prefix (row->why, disk);

  return g_strdup_printf ("%s%s%s%s", row->checkpoint ? row->checkpoint : "",
                          row->checkpoint ? ": " : "", is_said ? "" : disk,
                          row->why);
}

static void
add_whys (Table *table, const GPtrArray *rows)
{
  for (guint i = 0; i < rows->len; i++) {
    const Estimated *row = g_ptr_array_index (rows, i);
    if (row->why)
      table_add_line (table, why_line (row));
  }
}

void
estimate_print_table (const Estimate *estimate)
{
  static const char *const numbers[]
    = { "Dirty", "Data", "Zeroes", "Runs", "Backup", "Compressed" };
  g_autoptr (Table) table = table_new ();
  const GPtrArray *rows = estimate->rows;

  table_add_column (table, COLUMN_TEXT, "Since");
  table_add_column (table, COLUMN_TEXT, "Disk");
  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    table_add_column (table, COLUMN_NUMBER, numbers[i]);
  for (guint first = 0, next; first < rows->len; first = next) {
    const Estimated sum = estimate_sum (rows, first, &next);
    for (guint i = first; i < next; i++)
      add_row (table, g_ptr_array_index (rows, i));
    if (next > first + 1)
      add_cells (table, sum.checkpoint, "(all)", &sum,
                 sum_of_files (rows, first, next, cost_plain),
                 sum_of_files (rows, first, next, cost_compressed));
  }
  for (guint i = 0; i < estimate->full->len; i++)
    add_row (table, g_ptr_array_index (estimate->full, i));
  add_whys (table, rows);
  add_whys (table, estimate->full);
  if (rows->len == 0)
    table_add_line (table, g_strdup ("no checkpoint covers a disk, so a backup has "
                                     "all of it"));
  if (estimate->why_dirty_only && rows->len > 0)
    table_add_line (table, g_strdup (estimate->why_dirty_only));
  table_print (table);
}

/* ── For programs ── */

static void
add_about (JsonBuilder *builder, const char *name, bool is_known,
           guint64 bytes)
{
  json_builder_set_member_name (builder, name);
  if (!is_known) {
    json_builder_add_null_value (builder);
    return;
  }
  json_builder_begin_object (builder);
  json_add_number (builder, "about", bytes);
  json_builder_end_object (builder);
}

static void
add_counted (JsonBuilder *builder, const char *name, bool is_known,
             guint64 number)
{
  if (is_known)
    json_add_number (builder, name, number);
  else
    json_add_text (builder, name, NULL);
}

static void
add_numbers (JsonBuilder *builder, const Estimated *row, guint64 plain,
             guint64 compressed)
{
  const bool all = row->is_known && !row->is_dirty_only;
  const Cost *cost = &row->cost;

  add_counted (builder, "dirty", row->is_known, cost->dirty);
  add_counted (builder, "data", all, cost->data);
  add_counted (builder, "zeroes", all, cost->zeroes);
  add_counted (builder, "runs", all, cost->runs);
  json_add_bool (builder, "exact", row->is_known && cost->exact);
  add_about (builder, "backup", all, plain);
  add_about (builder, "compressed", all && cost->is_sampled, compressed);
}

static void
add_object (JsonBuilder *builder, const Estimated *row)
{
  const Cost *cost = &row->cost;
  const bool all = row->is_known && !row->is_dirty_only;

  json_builder_begin_object (builder);
  json_add_text (builder, "target", row->target);
  add_numbers (builder, row, cost_plain (cost), cost_compressed (cost));
  add_counted (builder, "clusters", all, cost->clusters);
  add_counted (builder, "sampled", all && cost->is_sampled, cost->sampled);
  if (row->is_refused)
    json_add_bool (builder, "refused", true);
  if (row->why)
    json_add_text (builder, "why", row->why);
  json_builder_end_object (builder);
}

static void
add_objects (JsonBuilder *builder, const char *name, const GPtrArray *rows,
             guint first, guint next)
{
  json_builder_set_member_name (builder, name);
  json_builder_begin_array (builder);
  for (guint i = first; i < next; i++)
    add_object (builder, g_ptr_array_index (rows, i));
  json_builder_end_array (builder);
}

void
estimate_print_json (const Estimate *estimate)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  const GPtrArray *rows = estimate->rows;

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "checkpoints");
  json_builder_begin_array (builder);
  for (guint first = 0, next; first < rows->len; first = next) {
    const Estimated sum = estimate_sum (rows, first, &next);
    json_builder_begin_object (builder);
    json_add_text (builder, "name", sum.checkpoint);
    add_objects (builder, "disks", rows, first, next);
    json_builder_set_member_name (builder, "all");
    json_builder_begin_object (builder);
    add_numbers (builder, &sum, sum_of_files (rows, first, next, cost_plain),
                 sum_of_files (rows, first, next, cost_compressed));
    json_builder_end_object (builder);
    json_builder_end_object (builder);
  }
  json_builder_end_array (builder);
  add_objects (builder, "full", estimate->full, 0, estimate->full->len);
  json_add_number (builder, "seed", estimate->seed);
  if (estimate->why_dirty_only)
    json_add_text (builder, "why", estimate->why_dirty_only);
  json_builder_end_object (builder);
  json_print (builder);
}
