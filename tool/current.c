/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * current: the checkpoint that libvirt would take for the current one, which it
 * does not store.
 */
#include <config.h>

#include <stdio.h>

#include "base/nearest.h"
#include "tool/command.h"
#include "tool/json-print.h"
#include "tool/say.h"

#define NAMES_SHOWN 8

/* Why none is.  A new string; g_free (). */
static char *
why_none (const Forest *forest)
{
  const GPtrArray *problems = forest_problems (forest);
  g_autoptr (GPtrArray) leaves = forest_leaves (forest);
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  if (leaves->len == 0)
    return g_strdup ("there is no checkpoint");
  if (leaves->len == 1)
    return g_strdup (g_ptr_array_index (problems, 0));
  for (guint i = 0; i < leaves->len; i++)
    g_ptr_array_add (names, ((Checkpoint *) g_ptr_array_index (leaves, i))
                     ->name);
  g_autofree char *shown = nearest_names (NULL, names, NAMES_SHOWN);
  return g_strdup_printf ("%u checkpoints have no children: %s", leaves->len,
                          shown);
}

Status
command_current (const Options *options, GError **error)
{
  g_auto (Subject) subject = { 0 };

  if (!subject_open (&subject, options, NULL, &tool_reporter, error))
    return STATUS_FAILED;
  const Checkpoint *current = subject.current;
  g_autofree char *why = current ? NULL : why_none (subject.forest);
  if (options->json) {
    g_autoptr (JsonBuilder) builder = json_builder_new ();
    json_builder_begin_object (builder);
    json_add_text (builder, "current", current ? current->name : NULL);
    if (why)
      json_add_text (builder, "why", why);
    json_builder_end_object (builder);
    json_print (builder);
  }
  else if (current)
    print_name (current->name);
  else
    printf ("none: %s\n", why);
  return current ? STATUS_FINE : STATUS_FOUND;
}
