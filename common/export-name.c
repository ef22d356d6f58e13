/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A part taken for a whole view would be a smaller set of dirty blocks, so
 * a name that can be read in two ways is refused.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "error.h"
#include "export-name.h"

#define PART_DIGITS 4

void
export_name_clear (ExportName *name)
{
  g_clear_pointer (&name->target, g_free);
  g_clear_pointer (&name->checkpoint, g_free);
}

/* The '/' of a part number at the end of text, or NULL.  "00" and the like
 * are nobody's part numbers.
 */
static const char *
part_suffix (const char *text)
{
  const char *slash = strrchr (text, '/');
  const gsize digits = slash ? strlen (slash + 1) : 0;

  if (digits == 0 || digits > PART_DIGITS
      || strspn (slash + 1, "0123456789") != digits
      || (slash[1] == '0' && digits > 1))
    return NULL;
  return slash;
}

bool
export_name_parse (const char *text, const Forest *forest, ExportName *name,
                   GError **error)
{
  const char *at = strchr (text, '@');

  *name = (ExportName) { NULL, NULL, EXPORT_NAME_WHOLE };
  if (!at) {
    if (text[0] != '\0')
      name->target = g_strdup (text);
    return true;
  }
  name->target = g_strndup (text, (gsize) (at - text));
  name->checkpoint = g_strdup (at + 1);

  const char *slash = part_suffix (at + 1);
  if (!slash)
    return true;
  g_autofree char *before = g_strndup (at + 1, (gsize) (slash - at - 1));
  if (!forest_lookup (forest, before))
    return true;
  if (forest_lookup (forest, name->checkpoint))
    return error_set (error, EINVAL, "export %s can mean checkpoint %s or "
                      "part %s of checkpoint %s; start the server with "
                      "checkpoint= and ask for disk %s", text,
                      name->checkpoint, slash + 1, before, name->target);
  g_free (name->checkpoint);
  name->checkpoint = g_steal_pointer (&before);
  name->part = (int) g_ascii_strtoll (slash + 1, NULL, 10);
  return true;
}

char *
export_name_format (const char *target, const char *checkpoint, int part)
{
  return part == EXPORT_NAME_WHOLE
    ? g_strdup_printf ("%s@%s", target, checkpoint)
    : g_strdup_printf ("%s@%s/%d", target, checkpoint, part);
}
