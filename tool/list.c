/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * list: virsh's checkpoint-list.  Its options mean the same, and names come in
 * the same order (libvirt's tools/virsh-checkpoint.c).
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "tool/command.h"
#include "tool/draw.h"
#include "tool/json-print.h"
#include "tool/say.h"
#include "tool/table.h"

/* What virsh refuses together. */
static bool
check_options (const Options *options, GError **error)
{
  const struct {
    bool both;
    const char *names;
  } excluded[] = {
    { options->draw && options->name_only, "--tree and --name" },
    { options->draw && options->parent, "--tree and --parent" },
    { options->draw && options->roots, "--tree and --roots" },
    { options->draw && options->leaves, "--tree and --leaves" },
    { options->draw && options->no_leaves, "--tree and --no-leaves" },
    { options->draw && options->size, "--tree and --size" },
    { options->name_only && options->size, "--name and --size" },
    { options->parent && options->roots, "--parent and --roots" },
    { options->roots && options->from, "--roots and --from" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (excluded); i++)
    if (excluded[i].both)
      return error_set (error, EINVAL, "%s exclude each other",
                        excluded[i].names);
  if (options->descendants && !options->from)
    return error_set (error, EINVAL, "--descendants needs --from");
  return true;
}

/* virsh compares without case; what it leaves to chance goes by the letters. */
static int
compare_names (const void *first, const void *second)
{
  const char *a = (*(Checkpoint *const *) first)->name;
  const char *b = (*(Checkpoint *const *) second)->name;
  const int order = g_ascii_strcasecmp (a, b);

  return order ? order : strcmp (a, b);
}

static bool
is_wanted (const Options *options, const Checkpoint *checkpoint)
{
  return (!options->roots || !checkpoint->parent)
    && (!options->leaves || !checkpoint->first_child)
    && (!options->no_leaves || checkpoint->first_child);
}

/* Those to be listed, in order.  from: of which; NULL: of all. */
static GPtrArray *
select_all (const Options *options, const Forest *forest,
            const Checkpoint *from)
{
  g_autoptr (GPtrArray) range
    = !from || options->descendants ? forest_descendants (forest, from)
    : forest_children (forest, from);
  GPtrArray *selected = g_ptr_array_new ();

  if (from && options->draw)
    g_ptr_array_add (selected, (gpointer) from);
  for (guint i = 0; i < range->len; i++) {
    Checkpoint *checkpoint = g_ptr_array_index (range, i);
    if (is_wanted (options, checkpoint))
      g_ptr_array_add (selected, checkpoint);
  }
  if (!options->topological)
    g_ptr_array_sort (selected, compare_names);
  return selected;
}

static void
print_names (const GPtrArray *selected)
{
  for (guint i = 0; i < selected->len; i++) {
    const Checkpoint *checkpoint = g_ptr_array_index (selected, i);
    print_name (checkpoint->name);
  }
}

static char *
total_size (const Subject *subject, const Checkpoint *checkpoint)
{
  guint64 bytes;

  return subject_size (subject, checkpoint, &bytes) ? table_size (bytes) : NULL;
}

/* Said once; JSON says of each why. */
static void
say_no_sizes (const Subject *subject)
{
  g_autofree char *line = subject->no_sizes
    ? g_strconcat ("no sizes are known: ", subject->no_sizes, NULL)
    : g_strdup ("some sizes are not known; to see why, type qemu-checkpoint "
                "check with the same options");

  tool_reporter.warn (line);
}

static void
print_table (const Options *options, const Subject *subject,
             const GPtrArray *selected)
{
  g_autoptr (Table) table = table_new ();
  bool all_sizes = true;

  table_add_column (table, COLUMN_TEXT, "Name");
  table_add_column (table, COLUMN_WHOLE, "Creation Time");
  if (options->parent)
    table_add_column (table, COLUMN_TEXT, "Parent");
  if (options->size)
    table_add_column (table, COLUMN_NUMBER, "Size");
  for (guint i = 0; i < selected->len; i++) {
    const Checkpoint *checkpoint = g_ptr_array_index (selected, i);
    const Checkpoint *parent = checkpoint->parent;
    table_add (table, g_strdup (checkpoint->name));
    table_add (table, checkpoint->has_creation_time
               ? table_time (checkpoint->creation_time) : NULL);
    if (options->parent)
      table_add (table, parent ? g_strdup (parent->name) : NULL);
    if (options->size) {
      char *size = total_size (subject, checkpoint);
      all_sizes = all_sizes && size;
      table_add (table, size);
    }
  }
  table_print (table);
  if (!all_sizes)
    say_no_sizes (subject);
}

static void
print_json (const Options *options, const Subject *subject,
            const GPtrArray *selected)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "checkpoints");
  json_builder_begin_array (builder);
  for (guint i = 0; i < selected->len; i++) {
    json_builder_begin_object (builder);
    json_add_checkpoint (builder, subject, g_ptr_array_index (selected, i),
                         options->size);
    json_builder_end_object (builder);
  }
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  json_print (builder);
}

Status
command_list (const Options *options, GError **error)
{
  g_auto (Subject) subject = { 0 };

  if (!check_options (options, error)
      || !subject_open (&subject, options, NULL, &tool_reporter, error))
    return STATUS_FAILED;
  const Checkpoint *from = options->from
    ? subject_checkpoint (&subject, options->from, error) : NULL;
  if (options->from && !from)
    return STATUS_FOUND;
  g_autoptr (GPtrArray) selected
    = select_all (options, subject.forest, from);
  if (options->json)
    print_json (options, &subject, selected);
  else if (options->draw)
    draw (subject.forest, selected);
  else if (options->name_only)
    print_names (selected);
  else
    print_table (options, &subject, selected);
  return STATUS_FINE;
}
