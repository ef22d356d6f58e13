/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * info: virsh's checkpoint-info, and what else is known of one.
 */
#include <config.h>

#include <stdio.h>

#include "base/printable.h"
#include "tool/command.h"
#include "tool/json-print.h"
#include "tool/say.h"
#include "tool/table.h"

/* text: of others; NULL: there is none. */
static void
print_field (const char *name, const char *text)
{
  g_autofree char *title = g_strconcat (name, ":", NULL);
  g_autofree char *shown = g_strdup (text ? text : "-");

  printable_make (shown);
  printf ("%-15s %s\n", title, shown);
}

static void
print_disks (const Checkpoint *checkpoint)
{
  g_autoptr (GString) names = g_string_new (NULL);

  for (guint i = 0; i < checkpoint->disks->len; i++) {
    const CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, i);
    if (disk->bitmap)
      g_string_append_printf (names, "%s%s", names->len ? ", " : "",
                              disk->name);
  }
  print_field ("Disks", checkpoint->covers_any_disk ? "not told"
               : names->len ? names->str : NULL);
}

static const char *
domain_of (const Checkpoint *checkpoint, const Options *options)
{
  return checkpoint->domain_name ? checkpoint->domain_name
    : options->request.domain;
}

static void
print_info (const Subject *subject, const Options *options,
            const Checkpoint *checkpoint, const GPtrArray *children)
{
  const Checkpoint *parent = checkpoint->parent;
  g_autofree char *number = g_strdup_printf ("%u", children->len);
  g_autofree char *below = g_strdup_printf ("%u", checkpoint->last_position
                                            - checkpoint->position);
  g_autofree char *time = checkpoint->has_creation_time
    ? table_time (checkpoint->creation_time) : NULL;

  print_field ("Name", checkpoint->name);
  print_field ("Domain", domain_of (checkpoint, options));
  print_field ("Parent", parent ? parent->name : NULL);
  print_field ("Children", number);
  print_field ("Descendants", below);
  print_field ("Current", checkpoint == subject->current
               ? "yes" : "no");
  print_field ("Metadata", subject->has_documents ? "yes" : "no");
  print_field ("Created", time);
  print_field ("Description", checkpoint->description);
  print_disks (checkpoint);
}

static void
print_json (const Subject *subject, const Options *options,
            const Checkpoint *checkpoint, const GPtrArray *children)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  json_add_checkpoint (builder, subject, checkpoint, false);
  json_add_text (builder, "domain", domain_of (checkpoint, options));
  json_add_bool (builder, "metadata", subject->has_documents);
  json_add_number (builder, "children", children->len);
  json_add_number (builder, "descendants",
                   checkpoint->last_position - checkpoint->position);
  json_builder_end_object (builder);
  json_print (builder);
}

Status
command_info (const Options *options, GError **error)
{
  g_auto (Subject) subject = { 0 };
  const Checkpoint *checkpoint;
  const Status status
    = subject_open_named (&subject, options, NULL, &checkpoint, error);

  if (status != STATUS_FINE)
    return status;
  g_autoptr (GPtrArray) children
    = forest_children (subject.forest, checkpoint);
  (options->json ? print_json : print_info) (&subject, options, checkpoint,
                                             children);
  return STATUS_FINE;
}
