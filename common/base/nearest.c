/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * See nearest.h.
 */

#include <config.h>

#include <string.h>

#include <glib.h>

#include "base/nearest.h"
#include "base/printable.h"

#define COMPARED_BYTES 64
#define COMPARED_NAMES 100000

/* One edit counts EDIT; one that only changes case counts a little less.  The
 * whole saving of 64 such edits stays below one edit, so the order is that of
 * the plain edit distance, and case decides only between equals. */
#define EDIT 128
#define CASE_EDIT (EDIT - 1)

typedef struct {
  guint distance;
  const char *name;
} Candidate;

static guint
substitution_cost (char a, char b)
{
  if (a == b)
    return 0;
  return g_ascii_tolower (a) == g_ascii_tolower (b) ? CASE_EDIT : EDIT;
}

/* Levenshtein distance with one row, both names cut to COMPARED_BYTES. */
static guint
distance (const char *a, const char *b)
{
  const gsize a_length = strnlen (a, COMPARED_BYTES);
  const gsize b_length = strnlen (b, COMPARED_BYTES);
  guint row[COMPARED_BYTES + 1];

  for (gsize j = 0; j <= b_length; j++)
    row[j] = j * EDIT;
  for (gsize i = 0; i < a_length; i++) {
    guint diagonal = row[0];

    row[0] = (i + 1) * EDIT;
    for (gsize j = 0; j < b_length; j++) {
      const guint substituted = diagonal + substitution_cost (a[i], b[j]);

      diagonal = row[j + 1];
      row[j + 1] = MIN (substituted, MIN (diagonal, row[j]) + EDIT);
    }
  }
  return row[b_length];
}

static int
compare (const void *first, const void *second, void *data G_GNUC_UNUSED)
{
  const Candidate *a = first, *b = second;

  return (a->distance > b->distance) - (a->distance < b->distance);
}

char *
nearest_names (const char *wanted, const GPtrArray *names, guint most)
{
  const guint total = names ? names->len : 0;
  const guint considered = MIN (total, COMPARED_NAMES);
  const guint shown = MIN (most, total);

  if (total == 0)
    return g_strdup ("(none)");
  if (most == 0)
    return g_strdup_printf ("%u name%s", total, total == 1 ? "" : "s");

  g_autofree Candidate *candidates = g_new0 (Candidate, total);
  for (guint i = 0; i < total; i++) {
    candidates[i].name = g_ptr_array_index (names, i);
    if (wanted && i < considered)
      candidates[i].distance = distance (wanted, candidates[i].name);
  }
  /* Equals stay in order: this sort is stable. */
  g_qsort_with_data (candidates, (gint) considered, sizeof *candidates,
                     compare, NULL);

  GString *out = g_string_new (NULL);
  for (guint i = 0; i < shown; i++)
    g_string_append_printf (out, "%s%s", i > 0 ? ", " : "",
                            candidates[i].name);
  if (shown < total)
    g_string_append_printf (out, " and %u more", total - shown);
  printable_make (out->str);
  return g_string_free (out, FALSE);
}
