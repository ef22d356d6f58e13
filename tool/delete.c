/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * delete: virsh's checkpoint-delete.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>

#include "base/error.h"
#include "base/nearest.h"
#include "base/printable.h"
#include "tool/change.h"
#include "tool/json-print.h"

#define NAMES_SHOWN 100

/* Their names, while they are there. */
static GPtrArray *
find_doomed (const Record *record, const Checkpoint *checkpoint,
             DeleteScope scope)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) below
    = forest_descendants (record->forest, checkpoint);

  if (scope != DELETE_DESCENDANTS)
    g_ptr_array_add (names, g_strdup (checkpoint->name));
  for (guint i = 0; scope != DELETE_ONE && i < below->len; i++)
    g_ptr_array_add (names, g_strdup (
      ((const Checkpoint *) g_ptr_array_index (below, i))->name));
  return names;
}

static void
print_json (const Options *options, const GPtrArray *names)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  json_add_texts (builder, "deleted", names);
  json_add_bool (builder, "metadata", options->metadata);
  json_builder_end_object (builder);
  json_print (builder);
}

static void
print_deleted (const Options *options, const char *name,
               const GPtrArray *names)
{
  g_autofree char *shown = g_strdup (name);

  printable_make (shown);
  if (options->json)
    print_json (options, names);
  else
    printf ("Domain checkpoint %s%s deleted\n", shown,
            options->children_only ? " children" : "");
}

static void
print_leftovers (const Options *options, const char *name,
                 const GPtrArray *targets)
{
  g_autofree char *shown = g_strdup (name);
  g_autofree char *disks = nearest_names (NULL, targets, NAMES_SHOWN);

  printable_make (shown);
  if (!options->json) {
    if (targets->len > 0)
      printf ("Bitmap %s deleted, of disk %s\n", shown, disks);
    else
      printf ("Domain checkpoint %s deleted\n", shown);
    return;
  }
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  json_builder_begin_object (builder);
  json_add_text (builder, "deleted", name);
  json_add_texts (builder, "disks", targets);
  json_builder_end_object (builder);
  json_print (builder);
}

/* Whether or not a document tells of them. */
static Status
delete_leftovers (const Options *options, GError **error)
{
  const char *name = g_ptr_array_index (options->words, 0);
  g_autoptr (GPtrArray) targets = g_ptr_array_new_with_free_func (g_free);

  if (options->children || options->children_only || options->metadata) {
    error_set (error, EINVAL, "--leftovers takes no --children, "
               "--children-only or --metadata: leave them out");
    return STATUS_FAILED;
  }
  g_autoptr (Record) record = change_open (options, error);
  if (!record)
    return STATUS_FAILED;
  if (!record->ops->delete_leftovers) {
    error_set (error, EINVAL, "--leftovers is for a guest that runs at libvirt; "
               "of others, delete %s with --file or --qmp, and without --tree: "
               "each bitmap is a checkpoint then", name);
    return STATUS_FAILED;
  }
  if (!record->ops->delete_leftovers (record, name, targets, error))
    return *error && (*error)->code == ENOENT ? STATUS_FOUND : STATUS_FAILED;
  print_leftovers (options, name, targets);
  return STATUS_FINE;
}

Status
command_delete (const Options *options, GError **error)
{
  const char *name = g_ptr_array_index (options->words, 0);
  const DeleteScope scope = options->children ? DELETE_WITH_DESCENDANTS
    : options->children_only ? DELETE_DESCENDANTS : DELETE_ONE;

  if (options->children && options->children_only) {
    error_set (error, EINVAL, "--children and --children-only exclude each "
               "other: leave out one");
    return STATUS_FAILED;
  }
  if (options->leftovers)
    return delete_leftovers (options, error);
  g_autoptr (Record) record = change_open (options, error);
  if (!record)
    return STATUS_FAILED;
  const Checkpoint *checkpoint
    = change_checkpoint (record, options, name, error);
  if (!checkpoint)
    return STATUS_FOUND;
  g_autoptr (GPtrArray) names = find_doomed (record, checkpoint, scope);
  if (!record->ops->delete (record, checkpoint, scope, options->metadata,
                            error))
    return STATUS_FAILED;
  print_deleted (options, name, names);
  return STATUS_FINE;
}
