/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * check: what is wrong with checkpoints, and what to type.  Its first line and its
 * exit status are as those of monitoring plugins (monitoring-plugins.org,
 * Development Guidelines).
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/nearest.h"
#include "base/printable.h"
#include "check/check.h"
#include "tool/command.h"
#include "tool/fix.h"
#include "tool/json-print.h"
#include "tool/say.h"
#include "tool/subject.h"
#include "tool/table.h"
#include "tool/whose.h"

#define NAMES_SHOWN 3
/* Mending one thing can show another: a bitmap, then its document. */
#define ROUNDS 8

static const char *const status_names[]
  = { "OK", "WARNING", "CRITICAL", "UNKNOWN" };

/* The guest runs, and nobody has looked: that is no fault of its record. */
static bool
only_in_use (const CheckResult *result)
{
  for (guint i = 0; i < result->findings->len; i++) {
    const Finding *finding = g_ptr_array_index (result->findings, i);
    if (finding->severity == SEVERITY_PROBLEM
        && finding->kind != FINDING_IN_USE)
      return false;
  }
  return result->disks == 0 && check_worst (result) == SEVERITY_PROBLEM;
}

static Status
status_of (const CheckResult *result)
{
  static const Status statuses[] = {
    [SEVERITY_NOTE] = STATUS_FINE, [SEVERITY_WARNING] = STATUS_FOUND,
    [SEVERITY_PROBLEM] = STATUS_FAILED,
  };

  return only_in_use (result) ? STATUS_UNKNOWN : statuses[check_worst (result)];
}

static guint
count_of (const CheckResult *result, Severity severity)
{
  guint count = 0;

  for (guint i = 0; i < result->findings->len; i++)
    count += ((const Finding *) g_ptr_array_index (result->findings, i))
               ->severity == severity;
  return count;
}

static void
add_count (GString *text, guint count, const char *what)
{
  g_string_append_printf (text, "%u %s%s", count, what, count == 1 ? "" : "s");
}

/* "3 checkpoints on 2 disks, all usable". */
static char *
summary_of (const CheckResult *result)
{
  GString *text = g_string_new (NULL);
  guint usable = 0;

  for (guint i = 0; i < result->views->len; i++)
    usable += ((const CheckedView *) g_ptr_array_index (result->views, i))
                ->usable;
  add_count (text, result->checkpoints, "checkpoint");
  if (result->disks > 0) {
    g_string_append (text, " on ");
    add_count (text, result->disks, "disk");
  }
  if (result->views->len == 0)
    g_string_append (text, result->disks ? "" : ", no disk was looked at");
  else if (usable == result->views->len)
    g_string_append (text, ", all usable");
  else
    g_string_append_printf (text, ", %u of %u records usable", usable,
                            result->views->len);
  for (Severity severity = SEVERITY_PROBLEM;; severity--) {
    const guint count = count_of (result, severity);
    if (severity == SEVERITY_NOTE)
      break;
    if (count > 0) {
      g_string_append (text, ", ");
      add_count (text, count, severity_name (severity));
    }
  }
  return g_string_free (text, FALSE);
}

static char *
names_of (const GPtrArray *names)
{
  return names->len ? nearest_names (NULL, names, NAMES_SHOWN) : NULL;
}

static void
print_table (const CheckResult *result)
{
  g_autoptr (Table) table = table_new ();

  table_add_column (table, COLUMN_WHOLE, "Severity");
  table_add_column (table, COLUMN_WHOLE, "Finding");
  table_add_column (table, COLUMN_TEXT, "Disk");
  table_add_column (table, COLUMN_TEXT, "Checkpoint");
  for (guint i = 0; i < result->findings->len; i++) {
    const Finding *finding = g_ptr_array_index (result->findings, i);
    g_autofree char *sentence = finding_sentence (finding);
    table_add (table, g_strdup (severity_name (finding->severity)));
    table_add (table, g_strdup (finding_words[finding->kind].code));
    table_add (table, names_of (finding->disks));
    table_add (table, names_of (finding->checkpoints));
    table_add_line (table, g_strconcat ("  ", sentence, finding->command
                                        ? "; type:" : NULL, NULL));
    if (finding->command)
      table_add_line (table, g_strconcat ("    ", finding->command, NULL));
  }
  if (result->findings->len > 0)
    table_print (table);
}

/* ── JSON ── */

static void
add_finding (JsonBuilder *builder, const Finding *finding)
{
  g_autofree char *sentence = finding_sentence (finding);

  json_builder_begin_object (builder);
  json_add_text (builder, "code", finding_words[finding->kind].code);
  json_add_text (builder, "severity", severity_name (finding->severity));
  json_add_texts (builder, "disks", finding->disks);
  json_add_texts (builder, "checkpoints", finding->checkpoints);
  json_add_text (builder, "file", finding->file);
  json_add_text (builder, "message", sentence);
  json_add_text (builder, "command", finding->command);
  json_add_bool (builder, "safe", finding->is_safe);
  json_builder_end_object (builder);
}

static void
add_views (JsonBuilder *builder, const CheckResult *result)
{
  json_builder_set_member_name (builder, "views");
  json_builder_begin_array (builder);
  for (guint i = 0; i < result->views->len; i++) {
    const CheckedView *view = g_ptr_array_index (result->views, i);
    json_builder_begin_object (builder);
    json_add_text (builder, "disk", view->disk);
    json_add_text (builder, "checkpoint", view->checkpoint);
    json_add_bool (builder, "usable", view->usable);
    json_builder_end_object (builder);
  }
  json_builder_end_array (builder);
}

static void
print_json (const CheckResult *result, const char *summary)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  json_add_text (builder, "status", status_names[status_of (result)]);
  json_add_text (builder, "summary", summary);
  json_builder_set_member_name (builder, "findings");
  json_builder_begin_array (builder);
  for (guint i = 0; i < result->findings->len; i++)
    add_finding (builder, g_ptr_array_index (result->findings, i));
  json_builder_end_array (builder);
  add_views (builder, result);
  json_builder_end_object (builder);
  json_print (builder);
}

/* Monitoring reads the standard output. */
static void
print_unknown (const Options *options, const GError *error)
{
  g_autofree char *line = error_line (error, tool_remedies);

  if (options->json) {
    g_autoptr (JsonBuilder) builder = json_builder_new ();
    json_builder_begin_object (builder);
    json_add_text (builder, "status", status_names[STATUS_UNKNOWN]);
    json_add_text (builder, "summary", line);
    json_builder_end_object (builder);
    json_print (builder);
    return;
  }
  printf ("CHECKPOINTS %s - %s\n", status_names[STATUS_UNKNOWN], line);
}

/* ── The command ── */

static bool
check_words (const Options *options, GError **error)
{
  if (options->yes && !options->fix)
    return error_set (error, EINVAL, "--yes goes with --fix");
  if (options->fix && !options->yes && !isatty (STDIN_FILENO))
    return error_set (error, EINVAL, "--fix asks on a terminal, and there is "
                      "none; to have all typed unasked, add --yes");
  return subject_check_words (options, error);
}

static CheckResult *
run (const Options *options, GError **error)
{
  g_autofree char *whose = whose_text (options);
  g_autofree char *bitmaps = whose_bitmaps_text (options);
  g_autofree char *tree
    = options->tree ? g_canonicalize_filename (options->tree, NULL) : NULL;
  CheckRequest request = {
    .request = &options->request, .tree = tree,
    .whose = whose, .whose_bitmaps = bitmaps,
    .reporter = &tool_reporter,
  };
  g_autoptr (GHashTable) typed
    = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  CheckResult *result = check_run (&request, error);

  for (guint round = 0; result && options->fix && round < ROUNDS; round++) {
    if (fix_all (result, typed, options->yes) == 0)
      break;
    request.are_related = result->are_related;
    check_result_free (result);
    result = check_run (&request, error);
  }
  return result;
}

Status
command_check (const Options *options, GError **error)
{
  g_autoptr (GError) why = NULL;

  if (!check_words (options, error))
    return STATUS_UNKNOWN;
  g_autoptr (CheckResult) result = run (options, &why);
  if (!result) {
    print_unknown (options, why);
    return STATUS_UNKNOWN;
  }
  g_autofree char *summary = summary_of (result);
  if (options->json)
    print_json (result, summary);
  else {
    printf ("CHECKPOINTS %s - %s\n", status_names[status_of (result)],
            summary);
    print_table (result);
  }
  return status_of (result);
}
