/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <string.h>

#include "parts/part-name.h"

#define DIGITS 4                /* of PART_COUNT_LIMIT */

/* A number as we write it: no sign, no leading zeroes.  Returns what follows,
 * or NULL.
 */
static const char *
parse_number (const char *text, guint *number)
{
  const gsize digits = strspn (text, "0123456789");

  if (digits == 0 || digits > DIGITS || (text[0] == '0' && digits > 1))
    return NULL;
  *number = (guint) g_ascii_strtoull (text, NULL, 10);
  return text + digits;
}

static const char *
skip (const char *text, const char *prefix)
{
  return text && g_str_has_prefix (text, prefix) ? text + strlen (prefix)
    : NULL;
}

char *
part_label_format (guint part, guint count)
{
  return g_strdup_printf ("part %u of %u: ", part, count);
}

bool
part_label_parse (const char *text, guint *part, guint *count,
                 const char **rest)
{
  text = skip (text, "part ");
  text = text ? parse_number (text, part) : NULL;
  text = skip (text, " of ");
  text = text ? parse_number (text, count) : NULL;
  *rest = skip (text, ": ");
  return *rest && *part < *count && *count <= PART_COUNT_LIMIT;
}

char *
part_union_format (guint count, guint64 data, guint64 zeroes, const char *rest)
{
  return g_strdup_printf (
    "%u parts united, %" G_GUINT64_FORMAT " bytes of data dirty, %"
    G_GUINT64_FORMAT " read as zeroes; the top one: %s", count, data, zeroes,
    rest);
}

/* Returns what follows, or NULL. */
static const char *
parse_bytes (const char *text, guint64 *bytes)
{
  char *end = NULL;

  if (!text || !g_ascii_isdigit (text[0]))
    return NULL;
  *bytes = g_ascii_strtoull (text, &end, 10);
  return end;
}

bool
part_union_parse (const char *text, guint *count, guint64 *data,
                  guint64 *zeroes, const char **rest)
{
  text = text ? parse_number (text, count) : NULL;
  text = parse_bytes (skip (text, " parts united, "), data);
  text = parse_bytes (skip (text, " bytes of data dirty, "), zeroes);
  *rest = skip (text, " read as zeroes; the top one: ");
  return *rest != NULL;
}

bool
part_shown_parse (const char *text, guint64 *data, guint64 *zeroes)
{
  const char *label = text ? g_strrstr (text, "[view ") : NULL;

  /* There it is zeroes that are clean. */
  if (!label || g_str_has_prefix (label, "[view sparse "))
    return false;
  text = parse_bytes (skip (strstr (label, " data "), " data "), data);
  text = parse_bytes (skip (text, " zeroes "), zeroes);
  return g_str_has_prefix (text ? text : "", " part ");
}

char *
part_name_format (const char *name, guint part)
{
  return g_strdup_printf ("%s/%u", name, part);
}

bool
part_name_parse (const char *name, gsize *length, guint *part)
{
  const char *slash = strrchr (name, '/');
  const char *end = slash ? parse_number (slash + 1, part) : NULL;

  if (!end || *end)
    return false;
  *length = (gsize) (slash - name);
  return true;
}
