/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <string.h>

#include "parts/part-name.h"
#include "parts/view-label.h"
#include "tree/checkpoint.h"

#define BEGIN "[view "
/* No label is longer: names in it are of at most 1023 bytes, escaped. */
#define LABEL_BYTES 3400

char *
view_label_format (const ViewLabel *label)
{
  g_autofree char *since = label->checkpoint
    ? g_uri_escape_string (label->checkpoint, NULL, FALSE) : NULL;

  return g_strdup_printf (
    BEGIN "%s disk %s size %" G_GUINT64_FORMAT " data %" G_GUINT64_FORMAT
    " zeroes %" G_GUINT64_FORMAT " part %u/%u%s%s%s]", label->view,
    label->target, label->size, label->data, label->zeroes, label->part,
    label->parts, since ? " since " : "", since ? since : "",
    label->ended ? " record ended" : "");
}

/* The value after such a word; NULL: it is not there.  Borrowed. */
static const char *
take (char ***words, const char *name)
{
  if (!(*words)[0] || !(*words)[1] || strcmp ((*words)[0], name) != 0)
    return NULL;
  *words += 2;
  return (*words)[-1];
}

static bool
take_number (char ***words, const char *name, guint64 *number)
{
  const char *text = take (words, name);

  return text
    && g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT64, number, NULL);
}

static bool
take_part (char ***words, ViewLabel *label)
{
  const char *text = take (words, "part");
  g_auto (GStrv) numbers = g_strsplit (text ? text : "", "/", 0);
  guint64 part, parts;

  if (g_strv_length (numbers) != 2
      || !g_ascii_string_to_unsigned (numbers[0], 10, 0, PART_COUNT_LIMIT,
                                      &part, NULL)
      || !g_ascii_string_to_unsigned (numbers[1], 10, 1, PART_COUNT_LIMIT,
                                      &parts, NULL) || part >= parts)
    return false;
  label->part = (guint) part;
  label->parts = (guint) parts;
  return true;
}

/* Each word in its place, and no other. */
static bool
parse_words (char **words, ViewLabel *label)
{
  const char *since;

  label->view = g_strdup (take (&words, "view"));
  label->target = g_strdup (take (&words, "disk"));
  if (!label->view || !label->target || !disk_target_is_valid (label->target)
      || !take_number (&words, "size", &label->size)
      || !take_number (&words, "data", &label->data)
      || !take_number (&words, "zeroes", &label->zeroes)
      || !take_part (&words, label))
    return false;
  since = take (&words, "since");
  if (since && !(label->checkpoint = g_uri_unescape_string (since, NULL)))
    return false;
  if (words[0])
    label->ended = g_strcmp0 (take (&words, "record"), "ended") == 0;
  return !words[0];
}

bool
view_label_parse (const char *description, ViewLabel *label)
{
  const char *begin = description ? strrchr (description, '[') : NULL;
  const gsize length = begin ? strlen (begin) : 0;
  const char *rest;
  guint64 data, zeroes;
  guint count;

  *label = (ViewLabel) { 0 };
  if (!begin || length > LABEL_BYTES || !g_str_has_prefix (begin, BEGIN)
      || begin[length - 1] != ']')
    return false;
  g_autofree char *text = g_strndup (begin + 1, length - 2);
  g_auto (GStrv) words = g_strsplit (text, " ", 0);
  if (!parse_words (words, label))
    return false;
  g_autofree char *again = view_label_format (label);
  if (strcmp (again, begin) != 0) /* we did not write that */
    return false;
  label->united = part_union_parse (description, &count, &data, &zeroes, &rest)
    && count == label->parts;
  if (label->united) {
    label->data = data;
    label->zeroes = zeroes;
  }
  return true;
}

void
view_label_clear (ViewLabel *label)
{
  g_clear_pointer (&label->view, g_free);
  g_clear_pointer (&label->target, g_free);
  g_clear_pointer (&label->checkpoint, g_free);
}
