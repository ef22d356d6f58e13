/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/parts/export-name.c, among them random bitmap names that look
 * like pieces of export names.  Repeat a failure with the seed that is
 * printed first: --seed=.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include <glib.h>

#include "base/error.h"
#include "parts/export-name.h"

/* A forest of roots; the names are separated by line breaks. */
static Forest *
make_forest (const char *names)
{
  g_auto (GStrv) list = g_strsplit (names, "\n", -1);
  Forest *forest = forest_new ();

  for (guint i = 0; list[i]; i++) {
    Checkpoint *checkpoint = checkpoint_new (list[i]);
    if (!forest_add (forest, checkpoint, NULL))
      checkpoint_free (checkpoint);
  }
  forest_link (forest);
  return forest;
}

static void
assert_parses (const char *names, const char *text, const char *target,
               const char *checkpoint, int part)
{
  g_autoptr (Forest) forest = make_forest (names);
  g_auto (ExportName) name = { 0 };
  g_autoptr (GError) error = NULL;

  g_test_message ("\"%s\"", text);
  g_assert_true (export_name_parse (text, forest, &name, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (name.target, ==, target);
  g_assert_cmpstr (name.checkpoint, ==, checkpoint);
  g_assert_cmpint (name.part, ==, part);
}

/* Its only part has a name, too, unless that is a checkpoint's. */
static void
test_disk (void)
{
  g_autoptr (Forest) forest = make_forest ("/0");
  g_auto (ExportName) name = { 0 };
  g_autoptr (GError) error = NULL;

  assert_parses ("monday", "vda@", "vda", "", EXPORT_NAME_WHOLE);
  assert_parses ("monday", "vda@/0", "vda", "", 0);
  assert_parses ("/0", "vda@", "vda", "", EXPORT_NAME_WHOLE);
  g_assert_false (export_name_parse ("vda@/0", forest, &name, &error));
  g_assert_error (error, CHECKPOINT_ERROR, EINVAL);
}

static void
test_plain (void)
{
  const int whole = EXPORT_NAME_WHOLE;

  g_assert_cmpint (whole, <, 0);
  assert_parses ("monday", "", NULL, NULL, whole);
  assert_parses ("monday", "vda", "vda", NULL, whole);
  assert_parses ("monday", "monday", "monday", NULL, whole);
  assert_parses ("monday", "vda@monday", "vda", "monday", whole);
  assert_parses ("monday", "vda@monday/0", "vda", "monday", 0);
  assert_parses ("monday", "vda@monday/17", "vda", "monday", 17);
  /* Unknown checkpoints are for others to refuse. */
  assert_parses ("monday", "vda@sunday", "vda", "sunday", whole);
  assert_parses ("monday", "vda@sunday/0", "vda", "sunday", 0);
  /* A part of the configured view. */
  assert_parses ("monday", "vda/0", "vda", NULL, 0);
  assert_parses ("monday", "/1", NULL, NULL, 1);
  assert_parses ("monday", "vda/x", "vda/x", NULL, whole);
  assert_parses ("monday", "@monday/1", "", "monday", 1);
}

/* Only what export_name_format () would write is a part number. */
static void
test_part_numbers (void)
{
  static const char *const no_part[] = {
    "", "00", "01", "007", "0000", "10000", "99999", "4294967296",
    "18446744073709551616", "-1", "+1", " 1", "1 ", "1a", "0x1", "1.0",
    "\331\241", "1/",
  };

  for (guint i = 0; i < G_N_ELEMENTS (no_part); i++) {
    g_autofree char *text = g_strconcat ("vda@monday/", no_part[i], NULL);
    assert_parses ("monday", text, "vda", text + strlen ("vda@"),
                   EXPORT_NAME_WHOLE);
  }
  assert_parses ("monday", "vda@monday/9", "vda", "monday", 9);
  assert_parses ("monday", "vda@monday/10", "vda", "monday", 10);
  assert_parses ("monday", "vda@monday/9999", "vda", "monday", 9999);
}

static void
test_bitmap_names (void)
{
  const int whole = EXPORT_NAME_WHOLE;

  assert_parses ("a/b", "vda@a/b", "vda", "a/b", whole);
  assert_parses ("a/b", "vda@a/b/1", "vda", "a/b", 1);
  assert_parses ("a@b", "vda@a@b", "vda", "a@b", whole);
  assert_parses ("a@b", "vda@a@b/1", "vda", "a@b", 1);
  assert_parses ("vda@b", "vda@vda@b/1", "vda", "vda@b", 1);
  assert_parses ("my day", "vda@my day/2", "vda", "my day", 2);
  assert_parses (" ", "vda@ /2", "vda", " ", 2);
  assert_parses ("f\303\274nf", "vda@f\303\274nf/5", "vda", "f\303\274nf",
                 5);
  assert_parses ("\377", "vda@\377/5", "vda", "\377", 5);
  assert_parses ("/", "vda@/", "vda", "/", whole);
  assert_parses ("/", "vda@//3", "vda", "/", 3);
  assert_parses ("@", "vda@@", "vda", "@", whole);
  /* With one of the two readings known, that is the one. */
  assert_parses ("a/1", "vda@a/1", "vda", "a/1", whole);
  assert_parses ("a/1", "vda@a/1/0", "vda", "a/1", 0);
  assert_parses ("a/1\na/1/x", "vda@a/1/0", "vda", "a/1", 0);
  assert_parses ("a", "vda@a/1", "vda", "a", 1);
  assert_parses ("a\na/01", "vda@a/01", "vda", "a/01", whole);
  assert_parses ("A\na/1", "vda@a/1", "vda", "a/1", whole);
}

static void
test_ambiguous (void)
{
  static const struct { const char *names, *text; } cases[] = {
    { "a\na/1", "vda@a/1" },
    { "a\na/1\na/1/2", "vda@a/1/2" },
    { "a@b\na@b/0", "vda@a@b/0" },
    { "a\na/9999", "@a/9999" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Forest) forest = make_forest (cases[i].names);
    g_auto (ExportName) name = { 0 };
    g_autoptr (GError) error = NULL;

    g_assert_false (export_name_parse (cases[i].text, forest, &name,
                                       &error));
    g_assert_error (error, CHECKPOINT_ERROR, EINVAL);
    g_assert_nonnull (strstr (error->message, cases[i].text));
    export_name_clear (&name);
    g_assert_false (export_name_parse (cases[i].text, forest, &name, NULL));
  }
  /* Its neighbours are not. */
  assert_parses ("a\na/1", "vda@a", "vda", "a", EXPORT_NAME_WHOLE);
  assert_parses ("a\na/1", "vda@a/0", "vda", "a", 0);
  assert_parses ("a\na/1", "vda@a/1/0", "vda", "a/1", 0);
}

static void
test_format (void)
{
  static const struct {
    const char *target, *checkpoint;
    int part;
    const char *expected;
  } cases[] = {
    { "vda", "monday", EXPORT_NAME_WHOLE, "vda@monday" },
    { "vda", "monday", 0, "vda@monday/0" },
    { "vda", "monday", 123, "vda@monday/123" },
    { "vda", "a/b@c d", 1, "vda@a/b@c d/1" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *text = export_name_format (
      cases[i].target, cases[i].checkpoint, cases[i].part);
    g_assert_cmpstr (text, ==, cases[i].expected);
  }
}

/* Short, of few letters, so that names often contain each other. */
static char *
random_name (void)
{
  static const char alphabet[] = "@/0159 a";
  const int length = g_test_rand_int_range (1, 7);
  char *name = g_malloc0 ((gsize) length + 1);

  for (int i = 0; i < length; i++)
    name[i] = alphabet[g_test_rand_int_range (0, sizeof alphabet - 1)];
  return name;
}

/* Some names are made of earlier ones, which chance alone does rarely. */
static GPtrArray *
random_names (void)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  const int count = g_test_rand_int_range (1, 8);

  for (int i = 0; i < count; i++) {
    const int kind = i == 0 ? 0 : g_test_rand_int_range (0, 3);
    const char *other = i == 0 ? NULL
      : g_ptr_array_index (names, g_test_rand_int_range (0, i));
    char *name;
    switch (kind) {
    case 1:
      name = g_strdup_printf ("%s/%d", other, g_test_rand_int_range (0, 3));
      break;
    case 2:
      name = g_strdup_printf ("vda@%s", other);
      break;
    default:
      name = random_name ();
    }
    g_ptr_array_add (names, name);
  }
  return names;
}

/* True if it was parsed, and then as what it was made of. */
static bool
assert_round_trip (const Forest *forest, const char *target,
                   const char *checkpoint, int part)
{
  g_autofree char *text = export_name_format (target, checkpoint, part);
  g_auto (ExportName) name = { 0 };
  g_autoptr (GError) error = NULL;

  if (!export_name_parse (text, forest, &name, &error)) {
    g_assert_error (error, CHECKPOINT_ERROR, EINVAL);
    return false;
  }
  g_assert_no_error (error);
  if (g_strcmp0 (name.target, target) != 0
      || g_strcmp0 (name.checkpoint, checkpoint) != 0 || name.part != part)
    g_error ("\"%s\", part %d of checkpoint \"%s\", is read as part %d of "
             "\"%s\"", text, part, checkpoint, name.part, name.checkpoint);
  return true;
}

static void
test_random (void)
{
  static const char *const targets[] = { "vda", "a", "sd-b.1_x" };
  static const int parts[] = { EXPORT_NAME_WHOLE, 0, 1, 2, 5, 10, 9999 };
  guint parsed = 0, refused = 0;

  for (int run = 0; run < 20000; run++) {
    g_autoptr (GPtrArray) names = random_names ();
    g_autoptr (GPtrArray) lines = g_ptr_array_copy (names, NULL, NULL);
    g_ptr_array_set_free_func (lines, NULL);
    g_ptr_array_add (lines, NULL);
    g_autofree char *joined = g_strjoinv ("\n", (char **) lines->pdata);
    g_autoptr (Forest) forest = make_forest (joined);
    const int pick = g_test_rand_int_range (0, (gint32) names->len);
    const char *checkpoint = g_ptr_array_index (names, pick);
    const char *target
      = targets[g_test_rand_int_range (0, G_N_ELEMENTS (targets))];

    for (guint i = 0; i < G_N_ELEMENTS (parts); i++) {
      /* The other reading of the same text, worked out on its own. */
      const char *slash = strrchr (checkpoint, '/');
      g_autofree char *as_part = parts[i] == EXPORT_NAME_WHOLE && slash
        ? g_strndup (checkpoint, (gsize) (slash - checkpoint)) : NULL;
      g_autofree char *as_whole = parts[i] == EXPORT_NAME_WHOLE ? NULL
        : g_strdup_printf ("%s/%d", checkpoint, parts[i]);
      const bool ok = assert_round_trip (forest, target, checkpoint,
                                         parts[i]);
      if (!ok)
        g_assert_true ((as_part && (as_part[0] == '\0' /* the disk itself */
                                    || forest_lookup (forest, as_part)))
                       || (as_whole && forest_lookup (forest, as_whole)));
      *(ok ? &parsed : &refused) += 1;
    }
  }
  /* Both outcomes were seen. */
  g_assert_cmpuint (parsed, >, 10000);
  g_assert_cmpuint (refused, >, 100);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/export-name/plain", test_plain);
  g_test_add_func ("/export-name/disk", test_disk);
  g_test_add_func ("/export-name/part-numbers", test_part_numbers);
  g_test_add_func ("/export-name/bitmap-names", test_bitmap_names);
  g_test_add_func ("/export-name/ambiguous", test_ambiguous);
  g_test_add_func ("/export-name/format", test_format);
  g_test_add_func ("/export-name/random", test_random);
  return g_test_run ();
}
