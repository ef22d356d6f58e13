/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <stdio.h>

#include "base/printable.h"
#include "tool/progress.h"
#include "tool/say.h"

static int refused;             /* errno */

void
note_refused (int why)
{
  refused = why;
}

int
why_refused (void)
{
  return refused;
}

void
print_name (const char *name)
{
  g_autofree char *shown = g_strdup (name);

  printable_make (shown);
  puts (shown);
}

static void
warn (const char *line)
{
  progress_make_room ();
  fprintf (stderr, "qemu-checkpoint: %s\n", line);
}

const Reporter tool_reporter = {
  .name     = "qemu-checkpoint",
  .warn     = warn,
  .remedies = tool_remedies,
};

static void
keep_quiet (const char *line G_GNUC_UNUSED)
{
}

const Reporter silent_reporter = {
  .name = "qemu-checkpoint",
  .warn = keep_quiet,
};
