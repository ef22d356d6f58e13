/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <string.h>

#include "base/error.h"
#include "base/printable.h"

/* A place is {0} or {q0}; what follows it is returned. */
static const char *
fill_place (GString *line, const char *place, const char *const *words)
{
  const bool quoted = place[1] == 'q';
  const guint index = (guint) (place[quoted ? 2 : 1] - '0');
  const char *word = "";

  for (guint i = 0; i <= index && words[i]; i++)
    word = i == index ? words[i] : "";
  g_autofree char *filled = quoted ? error_shell_word (word) : g_strdup (word);
  g_string_append (line, filled);
  return strchr (place, '}') + 1;
}

char *
remedy_text (const char *const *remedies, Remedy remedy,
             const char *const *words)
{
  const char *at = remedies ? remedies[remedy] : NULL;

  if (!at)
    return NULL;
  GString *line = g_string_new (NULL);
  for (const char *place; (place = strchr (at, '{'));
       at = fill_place (line, place, words))
    g_string_append_len (line, at, place - at);
  g_string_append (line, at);
  printable_make (line->str);
  return g_string_free (line, FALSE);
}
