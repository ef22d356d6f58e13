/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/base/remedy.c and error.c's part in it, with the
 * tables of both front ends.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "plugin/remedies.h"
#include "tool/say.h"

/* Nobody is left without what to type, and each place has a word that can be. */
static void
test_table (gconstpointer data)
{
  static const char *const words[] = { "a", "b", "c", NULL };
  const char *const *remedies = data;

  g_assert_null (remedies[REMEDY_NONE]);
  for (guint i = REMEDY_NONE + 1; i < REMEDY_COUNT; i++) {
    g_test_message ("remedy %u", i);
    const char *text = remedies[i];
    g_assert_nonnull (text);
    for (const char *at = text; (at = strchr (at, '{')); at++) {
      const char *number = at[1] == 'q' ? at + 2 : at + 1;
      g_assert_cmpint (*number, >=, '0');
      g_assert_cmpint (*number, <, '0' + REMEDY_WORDS);
      g_assert_cmpint (number[1], ==, '}');
    }
    g_autofree char *filled = remedy_text (remedies, (Remedy) i, words);
    g_assert_null (strpbrk (filled, "{}\n"));
  }
}

static const char *const texts[REMEDY_COUNT] = {
  [REMEDY_READ_AS] = "x {0} {q1} {q0}={q2}{1}.",
  [REMEDY_UNITE]   = "plain",
};

static void
check (const GError *error, const char *expected)
{
  g_autofree char *line = error_line (error, texts);

  g_assert_cmpstr (line, ==, expected);
}

/* Words are what others named: quoted for a shell, and never taken for places. */
static void
test_words (void)
{
  g_autoptr (GError) error = NULL;

  error_set (&error, EBUSY, "what");
  check (error, "what");
  g_assert_false (error_advise (&error, REMEDY_READ_AS, "{1}", "it's\nme", NULL));
  check (error, "what; x {1} \"$(printf 'it\\047s\\012me')\" '{1}'=''it's me.");
  g_assert_cmpint (error->code, ==, EBUSY);
}

/* The first one is of who noticed it, and goes wherever the error goes. */
static void
test_stays (void)
{
  g_autoptr (GError) error = NULL, copy = NULL, other = NULL, foreign = NULL;

  g_assert_false (error_advise (NULL, REMEDY_UNITE, NULL));
  g_assert_false (error_advise (&error, REMEDY_UNITE, NULL));
  g_assert_null (error);
  error_set (&error, EBUSY, "what");
  error_advise (&error, REMEDY_READ_AS, "a", "b", "c", NULL);
  error_advise (&error, REMEDY_UNITE, NULL);
  g_prefix_error (&error, "who: ");
  copy = g_error_copy (error);
  g_clear_error (&error);
  check (copy, "who: what; x a b a=cb.");
  error_set (&other, EIO, "again");
  g_assert_false (error_advise_as (&other, copy));
  check (other, "again; x a b a=cb.");
  g_set_error (&foreign, G_FILE_ERROR, G_FILE_ERROR_IO, "foreign");
  g_assert_false (error_advise (&foreign, REMEDY_UNITE, NULL));
  check (foreign, "foreign");
}

/* Who hands them on looks at all the places for words, also of a copy. */
static void
test_few_words (void)
{
  g_autoptr (GError) error = NULL, copy = NULL, other = NULL;

  error_set (&error, EBUSY, "what");
  copy = g_error_copy (error);
  error_advise (&copy, REMEDY_NONE, NULL);
  error_advise (&copy, REMEDY_UNITE, NULL);
  check (copy, "what; plain");
  g_clear_error (&error);
  error = g_error_copy (copy);
  error_set (&other, EIO, "again");
  error_advise_as (&other, error);
  check (other, "again; plain");
}

/* A front end may have nothing to say. */
static void
test_no_text (void)
{
  g_autoptr (GError) error = NULL;

  error_set (&error, EBUSY, "what");
  error_advise (&error, REMEDY_NO_TLS, NULL);
  check (error, "what");
  g_autofree char *line = error_line (error, NULL);
  g_assert_cmpstr (line, ==, "what");
}

/* What kind of trouble it is stays as the remedy does. */
static void
test_reason (void)
{
  g_autoptr (GError) error = NULL, copy = NULL, other = NULL, foreign = NULL;

  g_assert_false (error_sort (NULL, REASON_VOID, "/a"));
  g_assert_false (error_sort (&error, REASON_VOID, "/a"));
  g_assert_null (error);
  g_assert_cmpint (error_reason (NULL), ==, REASON_NONE);
  error_set (&error, EIO, "what");
  g_assert_cmpint (error_reason (error), ==, REASON_NONE);
  g_assert_null (error_file (error));
  error_sort (&error, REASON_VOID, "/a");
  error_sort (&error, REASON_LOST, "/b");
  g_prefix_error (&error, "who: ");
  copy = g_error_copy (error);
  g_clear_error (&error);
  g_assert_cmpint (error_reason (copy), ==, REASON_VOID);
  g_assert_cmpstr (error_file (copy), ==, "/a");
  error_set (&other, EIO, "again");
  error_advise_as (&other, copy);
  g_assert_cmpint (error_reason (other), ==, REASON_VOID);
  g_assert_cmpstr (error_file (other), ==, "/a");
  g_set_error (&foreign, G_FILE_ERROR, G_FILE_ERROR_IO, "foreign");
  g_assert_false (error_sort (&foreign, REASON_VOID, NULL));
  g_assert_cmpint (error_reason (foreign), ==, REASON_NONE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/remedy/table/nbdkit", nbdkit_remedies, test_table);
  g_test_add_data_func ("/remedy/table/tool", tool_remedies, test_table);
  g_test_add_func ("/remedy/words", test_words);
  g_test_add_func ("/remedy/stays", test_stays);
  g_test_add_func ("/remedy/few-words", test_few_words);
  g_test_add_func ("/remedy/no-text", test_no_text);
  g_test_add_func ("/remedy/reason", test_reason);
  return g_test_run ();
}
