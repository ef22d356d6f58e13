/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * parent: virsh's checkpoint-parent.
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "tool/command.h"
#include "tool/json-print.h"
#include "tool/say.h"

Status
command_parent (const Options *options, GError **error)
{
  g_auto (Subject) subject = { 0 };
  const Checkpoint *checkpoint;
  const Status status
    = subject_open_named (&subject, options, NULL, &checkpoint, error);

  if (status != STATUS_FINE)
    return status;
  const char *parent = checkpoint->parent ? checkpoint->parent->name : NULL;
  if (options->json) {
    g_autoptr (JsonBuilder) builder = json_builder_new ();
    json_builder_begin_object (builder);
    json_add_text (builder, "name", checkpoint->name);
    json_add_text (builder, "parent", parent);
    json_builder_end_object (builder);
    json_print (builder);
  }
  else if (parent)
    print_name (parent);
  else
    error_set (error, ENOENT, "checkpoint %s has no parent",
               checkpoint->name);
  return parent ? STATUS_FINE : STATUS_FOUND;
}
