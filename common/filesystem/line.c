/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "filesystem/line.h"

static const char *const names[LINE_KINDS] = {
  [LINE_FILE] = "file",
  [LINE_DIRECTORY] = "directory",
  [LINE_SYMLINK] = "symlink",
  [LINE_REMOVED] = "removed",
  [LINE_METADATA] = "metadata",
  [LINE_JOURNAL] = "journal",
  [LINE_FREE] = "free",
  [LINE_TABLE] = "partition-table",
  [LINE_MANAGER] = "volume-manager",
  [LINE_UNPARTITIONED] = "unpartitioned",
  [LINE_SWAP] = "swap",
  [LINE_UNKNOWN] = "unknown",
};

void
line_free (Line *line)
{
  if (!line)
    return;
  g_clear_pointer (&line->others, g_ptr_array_unref);
  g_free (line->volume);
  g_free (line->text);
  g_free (line);
}

const char *
line_kind_name (LineKind kind)
{
  return names[kind];
}

bool
line_kind_is_file (LineKind kind)
{
  return kind <= LINE_REMOVED;
}
