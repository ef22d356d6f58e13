/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A part taken for a whole view would be a smaller set of dirty blocks, so
 * a name that can be read in two ways is refused.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "parts/export-name.h"
#include "parts/part-name.h"

void
export_name_clear (ExportName *name)
{
  g_clear_pointer (&name->target, g_free);
  g_clear_pointer (&name->checkpoint, g_free);
}

bool
export_name_parse (const char *text, const Forest *forest, ExportName *name,
                   GError **error)
{
  const char *at = strchr (text, '@');
  gsize length;
  guint part;

  *name = (ExportName) { NULL, NULL, EXPORT_NAME_WHOLE };
  if (!at) {                    /* no target has a '/' in it */
    if (part_name_parse (text, &length, &part)) {
      name->part = (int) part;
      name->target = length > 0 ? g_strndup (text, length) : NULL;
    }
    else if (text[0] != '\0')
      name->target = g_strdup (text);
    return true;
  }
  name->target = g_strndup (text, (gsize) (at - text));
  name->checkpoint = g_strdup (at + 1);

  if (!part_name_parse (at + 1, &length, &part))
    return true;
  g_autofree char *before = g_strndup (at + 1, length);
  const bool is_known = length == 0 || forest_lookup (forest, before) != NULL;
  const bool is_whole = forest_lookup (forest, name->checkpoint) != NULL;
  if (is_whole && !is_known)
    return true;
  if (is_whole)
    return error_set (error, EINVAL, "export %s can mean checkpoint %s or "
                      "part %u of checkpoint %s", text, name->checkpoint, part,
                      before)
      || error_advise (error, REMEDY_ASK_FOR_DISK, name->target, NULL);
  g_free (name->checkpoint);
  name->checkpoint = g_steal_pointer (&before);
  name->part = (int) part;
  return true;
}

char *
export_name_format (const char *target, const char *checkpoint, int part)
{
  g_autofree char *whole = g_strdup_printf ("%s@%s", target, checkpoint);

  return part == EXPORT_NAME_WHOLE ? g_steal_pointer (&whole)
    : part_name_format (whole, (guint) part);
}
