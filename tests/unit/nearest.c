/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/base/nearest.c and common/base/error.c.
 */

#include <errno.h>
#include <string.h>

#include <glib.h>

#include "base/error.h"
#include "base/nearest.h"

static void
check (const char *wanted, const char *names, guint most, const char *expected)
{
  g_auto (GStrv) list = g_strsplit (names, "|", -1);
  g_autoptr (GPtrArray) array = g_ptr_array_new ();
  g_autofree char *result = NULL;

  for (guint i = 0; list[i]; i++)
    g_ptr_array_add (array, list[i]);
  result = nearest_names (wanted, array, most);
  g_assert_cmpstr (result, ==, expected);
}

static void
test_order (void)
{
  check ("monday", "tuesday|sunday|mondays|monday", 3,
         "monday, mondays, sunday and 1 more");
  check (NULL, "c|a|b", 9, "c, a, b");
  check (NULL, "c|a|b", 2, "c, a and 1 more");
  check ("x", "c|a|b", 9, "c, a, b");
  check ("", "ccc|a|bb", 9, "a, bb, ccc");
  /* Equal distance: differing only by case wins. */
  check ("monday", "xonday|Monday", 9, "Monday, xonday");
  /* But never over a smaller distance. */
  check ("monday", "MONDAY|nonday", 9, "nonday, MONDAY");
  check ("ab", "ab", 0, "1 name");
  check ("ab", "ab|c", 0, "2 names");
  check ("ab", "a\nb|c\x7f", 2, "a b, c?");
}

static void
test_empty (void)
{
  g_autoptr (GPtrArray) array = g_ptr_array_new ();
  g_autofree char *first = nearest_names ("a", array, 3);
  g_autofree char *second = nearest_names (NULL, NULL, 3);

  g_assert_cmpstr (first, ==, "(none)");
  g_assert_cmpstr (second, ==, "(none)");
}

/* Case-only edits of 64 bytes cost less than one real edit more. */
static void
test_weights (void)
{
  g_autofree char *lower = g_strnfill (64, 'a');
  g_autofree char *upper = g_strnfill (64, 'A');
  g_autofree char *other = g_strnfill (64, 'b');
  g_autofree char *names = NULL;
  g_autofree char *expected = NULL;

  other[0] = 'a';
  names = g_strdup_printf ("%s|%s", upper, other);
  expected = g_strdup_printf ("%s, %s", other, upper);
  check (lower, names, 2, expected);
}

static void
test_many (void)
{
  g_autoptr (GPtrArray) array = g_ptr_array_new ();
  g_autofree char *name = g_strnfill (100000, 'x');
  g_autofree char *result = NULL;

  for (guint i = 0; i < 300000; i++)
    g_ptr_array_add (array, name);
  g_ptr_array_index (array, 99999) = (void *) "last";
  g_ptr_array_index (array, 100000) = (void *) "beyond";
  result = nearest_names ("beyond", array, 1);
  g_assert_cmpstr (result, ==, "last and 299999 more");
}

static void
test_error (void)
{
  g_autoptr (GError) error = NULL;

  errno = ENOSPC;
  g_assert_false (error_set (&error, ENOENT, "no %s\nforged", "file\t"));
  g_assert_error (error, CHECKPOINT_ERROR, ENOENT);
  g_assert_cmpstr (error->message, ==, "no file  forged");
  g_assert_cmpint (errno, ==, ENOSPC);
  g_clear_error (&error);
  g_assert_false (error_set (&error, 0, "x"));
  g_assert_error (error, CHECKPOINT_ERROR, EIO);
  g_assert_false (error_set (NULL, EIO, "x"));
}

static void
check_virsh (const char *uri, const char *guest, const char *name,
             const char *expected)
{
  g_autofree char *command = error_virsh (uri, "x --y", guest, name);

  g_assert_cmpstr (command, ==, expected);
}

static void
test_virsh (void)
{
  check_virsh (NULL, NULL, NULL, "virsh x --y");
  check_virsh (NULL, "-web", NULL, "virsh x --y -- -web");
  check_virsh (NULL, "web1", "-a", "virsh x --y -- web1 -a");
  check_virsh ("qemu:///system", "web1", "monday",
               "virsh -c qemu:///system x --y web1 monday");
  check_virsh ("qemu+ssh://h/?a=b", "it's", "a b",
               "virsh -c 'qemu+ssh://h/?a=b' x --y 'it'\\''s' 'a b'");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nearest/order", test_order);
  g_test_add_func ("/nearest/empty", test_empty);
  g_test_add_func ("/nearest/weights", test_weights);
  g_test_add_func ("/nearest/many", test_many);
  g_test_add_func ("/error", test_error);
  g_test_add_func ("/error/virsh", test_virsh);
  return g_test_run ();
}
