/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Fuzz the export names.  The input's lines are the names of checkpoints,
 * its last line is the name a client asks for.  What is accepted must format
 * back to the same text and mean the one thing it can mean.  For libFuzzer,
 * or with replay.c for any compiler.
 */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <glib.h>

#include "parts/export-name.h"
#include "parts/part-name.h"

#define MAX_CHECKPOINTS 64

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check_accepted (const char *text, const Forest *forest,
                const ExportName *name)
{
  g_autofree char *again = NULL;

  if (name->checkpoint == NULL) {
    const char *target = name->target ? name->target : "";
    again = name->part == EXPORT_NAME_WHOLE ? g_strdup (target)
      : part_name_format (target, (guint) name->part);
    if (strcmp (again, text) != 0)
      g_error ("\"%s\" is read as target \"%s\"", text, target);
    return;
  }
  if (name->target == NULL || strchr (name->target, '@') != NULL)
    g_error ("\"%s\" has a strange target", text);
  again = export_name_format (name->target, name->checkpoint, name->part);
  if (strcmp (again, text) != 0)
    g_error ("\"%s\" became \"%s\"", text, again);
  if (name->part == EXPORT_NAME_WHOLE)
    return;
  if (name->part < 0)
    g_error ("\"%s\" is read as part %d", text, name->part);
  if (forest_lookup (forest, strchr (text, '@') + 1) != NULL)
    g_error ("\"%s\" has two meanings", text);
}

/* A name that was made is never read as something else. */
static void
check_made (const Forest *forest, const char *checkpoint, int part)
{
  g_autofree char *text = export_name_format ("vda", checkpoint, part);
  g_auto (ExportName) name = { 0 };

  if (!export_name_parse (text, forest, &name, NULL))
    return;
  if (g_strcmp0 (name.target, "vda") != 0
      || g_strcmp0 (name.checkpoint, checkpoint) != 0 || name.part != part)
    g_error ("\"%s\" is read as part %d of \"%s\", not %d of \"%s\"", text,
             name.part, name.checkpoint, part, checkpoint);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const int parts[] = { EXPORT_NAME_WHOLE, 0, 1, 9, 10, 9999 };
  g_autofree char *input = g_strndup ((const char *) data, size);
  g_auto (GStrv) lines = g_strsplit (input, "\n", MAX_CHECKPOINTS + 1);
  const guint count = g_strv_length (lines);
  const char *text = count > 0 ? lines[count - 1] : "";
  g_autoptr (Forest) forest = forest_new ();
  g_auto (ExportName) name = { 0 };
  g_autoptr (GError) error = NULL;

  g_log_set_always_fatal (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING);
  for (guint i = 0; i + 1 < count; i++) {
    Checkpoint *checkpoint = *lines[i] ? checkpoint_new (lines[i]) : NULL;
    if (checkpoint != NULL && !forest_add (forest, checkpoint, NULL))
      checkpoint_free (checkpoint);
  }
  forest_link (forest);

  if (export_name_parse (text, forest, &name, &error)) {
    if (error != NULL)
      g_error ("accepted with an error: %s", error->message);
    check_accepted (text, forest, &name);
  }
  else if (error == NULL || error->code != EINVAL || *error->message == '\0'
           || strpbrk (error->message, "\n\r") != NULL)
    g_error ("refused without one line saying why");

  for (guint i = 0; i + 1 < count; i++)
    for (guint j = 0; *lines[i] && j < G_N_ELEMENTS (parts); j++)
      check_made (forest, lines[i], parts[j]);
  return 0;
}
