/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/tree/forest.c by example; forest-random.c compares it with a
 * naive implementation.
 */

#include <errno.h>
#include <string.h>

#include <glib.h>

#include "base/error.h"
#include "tree/forest.h"

#define MANY 100000

static Checkpoint *
add (Forest *forest, const char *name, const char *parent, int created)
{
  g_autoptr (GError) error = NULL;
  Checkpoint *checkpoint = checkpoint_new (name);

  checkpoint_set_parent_name (checkpoint, parent);
  checkpoint->has_creation_time = created >= 0;
  checkpoint->creation_time = created >= 0 ? created : 0;
  g_assert_true (forest_add (forest, checkpoint, &error));
  g_assert_no_error (error);
  return checkpoint;
}

static void
assert_list (const GPtrArray *list, const char *expected)
{
  g_autoptr (GString) names = g_string_new (NULL);

  for (guint i = 0; i < list->len; i++) {
    const Checkpoint *checkpoint = g_ptr_array_index (list, i);
    g_string_append_printf (names, "%s%s", i ? " " : "", checkpoint->name);
  }
  g_assert_cmpstr (names->str, ==, expected);
}

#define ASSERT_LIST(call, expected)             \
  do {                                          \
    g_autoptr (GPtrArray) list_ = (call);       \
    assert_list (list_, (expected));            \
  } while (0)

static void
test_empty (void)
{
  g_autoptr (Forest) forest = forest_new ();

  forest_link (forest);
  g_assert_cmpuint (forest_size (forest), ==, 0);
  g_assert_null (forest_current (forest));
  g_assert_null (forest_lookup (forest, "a"));
  g_assert_cmpuint (forest_problems (forest)->len, ==, 0);
  ASSERT_LIST (forest_roots (forest), "");
  ASSERT_LIST (forest_leaves (forest), "");
  ASSERT_LIST (forest_descendants (forest, NULL), "");
}

static void
test_order (void)
{
  g_autoptr (Forest) forest = forest_new ();
  g_autoptr (GPtrArray) names = NULL;
  const Checkpoint *a, *b, *d;

  add (forest, "d", "b", 4);
  add (forest, "z", NULL, 0);
  add (forest, "b", "a", 9);
  add (forest, "c2", "a", 3);
  add (forest, "c1", "a", 3);
  add (forest, "a", NULL, 5);
  add (forest, "n", NULL, -1);
  forest_link (forest);

  assert_list (forest_all (forest), "n z a c1 c2 b d");
  ASSERT_LIST (forest_roots (forest), "n z a");
  ASSERT_LIST (forest_leaves (forest), "n z c1 c2 d");
  a = forest_lookup (forest, "a");
  b = forest_lookup (forest, "b");
  d = forest_lookup (forest, "d");
  ASSERT_LIST (forest_children (forest, a), "c1 c2 b");
  ASSERT_LIST (forest_children (forest, NULL), "n z a");
  ASSERT_LIST (forest_descendants (forest, a), "c1 c2 b d");
  ASSERT_LIST (forest_descendants (forest, d), "");
  ASSERT_LIST (forest_descendants (forest, NULL), "n z a c1 c2 b d");
  g_assert_true (forest_is_ancestor (a, d));
  g_assert_true (forest_is_ancestor (b, d));
  g_assert_false (forest_is_ancestor (d, a));
  g_assert_false (forest_is_ancestor (a, a));
  g_assert_false (forest_is_ancestor (forest_lookup (forest, "c2"), d));
  g_assert_true (d->parent == b && b->parent == a && a->parent == NULL);
  g_assert_null (a->next_sibling);
  g_assert_null (forest_current (forest));
  names = forest_names (forest);
  g_assert_cmpuint (names->len, ==, 7);
  g_assert_cmpstr (g_ptr_array_index (names, 6), ==, "d");
}

static void
test_duplicate (void)
{
  g_autoptr (Forest) forest = forest_new ();
  g_autoptr (Checkpoint) twin = checkpoint_new ("a");
  g_autoptr (GError) error = NULL;

  add (forest, "a", NULL, 1);
  g_assert_false (forest_add (forest, twin, &error));
  g_assert_error (error, CHECKPOINT_ERROR, EEXIST);
  g_assert_nonnull (strstr (error->message, "'a'"));
  g_assert_cmpuint (forest_size (forest), ==, 1);
}

static void
test_current (void)
{
  g_autoptr (Forest) forest = forest_new ();

  add (forest, "b", "a", 2);
  add (forest, "a", NULL, 1);
  forest_link (forest);
  g_assert_cmpstr (forest_current (forest)->name, ==, "b");
  /* Linking again after adding is allowed. */
  add (forest, "c", "b", 2);
  forest_link (forest);
  g_assert_cmpstr (forest_current (forest)->name, ==, "c");
  add (forest, "c2", "b", 3);
  forest_link (forest);
  g_assert_null (forest_current (forest));
}

static void
assert_problem (const Forest *forest, guint index, const char *expected)
{
  g_assert_cmpuint (forest_problems (forest)->len, >, index);
  g_assert_cmpstr (g_ptr_array_index (forest_problems (forest), index), ==,
                   expected);
}

static void
test_problems (void)
{
  g_autoptr (Forest) forest = forest_new ();

  add (forest, "self", "self", 3);
  add (forest, "orphan", "gone", 2);
  add (forest, "y", "x", 5);
  add (forest, "x", "w", 4);
  add (forest, "w", "y", 6);
  add (forest, "tail", "y", 1);
  forest_link (forest);
  g_assert_cmpuint (forest_problems (forest)->len, ==, 3);
  assert_problem (forest, 0, "checkpoint 'orphan': its parent 'gone' is "
                  "missing; it is taken as a root");
  assert_problem (forest, 1, "checkpoint 'self' is its own parent; it is "
                  "taken as a root");
  assert_problem (forest, 2, "checkpoint 'x' is its own ancestor (its parent "
                  "is 'w', whose parent is 'y', whose parent is 'x'); it is "
                  "taken as a root");
  assert_list (forest_all (forest), "orphan self x y tail w");
  g_assert_null (forest_current (forest));
}

/* A single chain with a missing parent has no current one either. */
static void
test_problem_current (void)
{
  g_autoptr (Forest) forest = forest_new ();

  add (forest, "a", "gone", 1);
  add (forest, "b", "a", 2);
  forest_link (forest);
  g_assert_null (forest_current (forest));
}

static void
test_loop_long (void)
{
  g_autoptr (Forest) forest = forest_new ();

  for (guint i = 0; i < MANY; i++) {
    g_autofree char *name = g_strdup_printf ("c%06u", i);
    g_autofree char *parent = g_strdup_printf ("c%06u", (i + 1) % MANY);
    add (forest, name, parent, 7);
  }
  forest_link (forest);
  assert_problem (forest, 0, "checkpoint 'c000000' is its own ancestor (its "
                  "parent is 'c000001', whose parent is 'c000002', whose "
                  "parent is 'c000003', whose parent is 'c000004', whose "
                  "parent is ... 'c000000'); it is taken as a root");
  g_assert_cmpuint (forest_problems (forest)->len, ==, 1);
  g_assert_cmpuint (forest_all (forest)->len, ==, MANY);
}

static void
test_deep (void)
{
  g_autoptr (Forest) forest = forest_new ();
  const Checkpoint *top, *bottom;

  for (guint i = MANY; i-- > 0; ) {
    g_autofree char *name = g_strdup_printf ("c%u", i);
    g_autofree char *parent = i ? g_strdup_printf ("c%u", i - 1) : NULL;
    add (forest, name, parent, MANY - i);
  }
  forest_link (forest);
  top = forest_lookup (forest, "c0");
  bottom = forest_lookup (forest, "c99999");
  g_assert_true (forest_current (forest) == bottom);
  g_assert_true (forest_is_ancestor (top, bottom));
  g_assert_cmpuint (bottom->position, ==, MANY - 1);
  for (guint i = 0; i < 1000; i++)
    g_assert_true (forest_is_ancestor (top, bottom));
}

static void
test_wide (void)
{
  g_autoptr (Forest) forest = forest_new ();
  g_autoptr (GPtrArray) children = NULL;

  for (guint i = 0; i < MANY; i++) {
    g_autofree char *name = g_strdup_printf ("c%u", i);
    add (forest, name, i ? "c0" : NULL, i);
  }
  forest_link (forest);
  children = forest_children (forest, forest_lookup (forest, "c0"));
  g_assert_cmpuint (children->len, ==, MANY - 1);
  g_assert_cmpstr (((Checkpoint *) g_ptr_array_index (children, 9))->name, ==,
                   "c10");
  g_assert_null (forest_current (forest));
}

/* What is above a checkpoint that goes gets its children. */
static void
test_remove (void)
{
  g_autoptr (Forest) forest = forest_new ();

  add (forest, "a", NULL, 1);
  add (forest, "b", "a", 2);
  add (forest, "c", "b", 3);
  add (forest, "d", "c", 4);
  forest_link (forest);

  forest_remove (forest, forest_lookup (forest, "b"));
  assert_list (forest_all (forest), "a c d");
  g_assert_cmpstr (forest_lookup (forest, "c")->parent_name, ==, "a");
  g_assert_null (forest_lookup (forest, "b"));
  g_assert_cmpstr (forest_current (forest)->name, ==, "d");
  /* As in libvirt, the parent of the current one is current after it. */
  forest_remove (forest, forest_current (forest));
  g_assert_cmpstr (forest_current (forest)->name, ==, "c");
  forest_remove (forest, forest_lookup (forest, "a"));
  assert_list (forest_all (forest), "c");
  g_assert_null (forest_lookup (forest, "c")->parent_name);
  g_assert_cmpuint (forest_problems (forest)->len, ==, 0);
  forest_remove (forest, forest_current (forest));
  g_assert_cmpuint (forest_size (forest), ==, 0);
  g_assert_null (forest_current (forest));
  ASSERT_LIST (forest_roots (forest), "");
}

static void
test_remove_branch (void)
{
  g_autoptr (Forest) forest = forest_new ();

  add (forest, "a", NULL, 1);
  add (forest, "b", "a", 2);
  add (forest, "b2", "a", 3);
  add (forest, "c", "b", 4);
  add (forest, "z", NULL, 5);
  forest_link (forest);

  forest_remove_with_descendants (forest, forest_lookup (forest, "b"));
  assert_list (forest_all (forest), "a b2 z");
  g_assert_null (forest_lookup (forest, "c"));
  forest_remove_with_descendants (forest, forest_lookup (forest, "z"));
  g_assert_cmpstr (forest_current (forest)->name, ==, "b2");
}

/* The root of a loop that was cut loses its parent, which is below it. */
static void
test_remove_loop (void)
{
  g_autoptr (Forest) forest = forest_new ();

  add (forest, "x", "y", 1);
  add (forest, "y", "x", 2);
  forest_link (forest);
  forest_remove (forest, forest_lookup (forest, "y"));
  g_assert_cmpuint (forest_problems (forest)->len, ==, 1);
  assert_problem (forest, 0, "checkpoint 'x': its parent 'y' is missing; it "
                  "is taken as a root");
}

static void
assert_no_insert (Forest *forest, const char *name, const char *parent,
                  int code, const char *expected)
{
  g_autoptr (Checkpoint) checkpoint = checkpoint_new (name);
  g_autoptr (GError) error = NULL;
  const guint size = forest_size (forest);

  checkpoint_set_parent_name (checkpoint, parent);
  g_assert_false (forest_insert (forest, checkpoint, &error));
  g_assert_error (error, CHECKPOINT_ERROR, code);
  g_assert_cmpstr (error->message, ==, expected);
  g_assert_cmpuint (forest_size (forest), ==, size);
}

static void
test_insert (void)
{
  g_autoptr (Forest) forest = forest_new ();
  Checkpoint *gone = checkpoint_new ("gone");

  add (forest, "a", "gone", 1);
  add (forest, "b", "a", 2);
  forest_link (forest);
  assert_no_insert (forest, "b", "no", EEXIST, "there is already a checkpoint "
                    "named 'b'; rename or remove one of the two");
  assert_no_insert (forest, "c", "c", ELOOP,
                    "checkpoint 'c' cannot be its own parent");
  assert_no_insert (forest, "c", "no", ENOENT, "checkpoint 'c' cannot be "
                    "added: its parent 'no' is missing; add that first");
  assert_no_insert (forest, "gone", "b", ELOOP, "checkpoint 'gone' cannot "
                    "have the parent 'b': it would be its own ancestor, as "
                    "checkpoint 'a' names it as its parent");
  assert_no_insert (forest, "gone", "a", ELOOP, "checkpoint 'gone' cannot "
                    "have the parent 'a': it would be its own ancestor, as "
                    "checkpoint 'a' names it as its parent");
  assert_list (forest_all (forest), "a b");

  g_assert_true (forest_insert (forest, gone, NULL));
  assert_list (forest_all (forest), "gone a b");
  g_assert_cmpuint (forest_problems (forest)->len, ==, 0);
  g_assert_cmpstr (forest_current (forest)->name, ==, "b");
}

/* A chain is shortened in the middle, then cut. */
static void
test_change_deep (void)
{
  g_autoptr (Forest) forest = forest_new ();

  for (guint i = 0; i < MANY; i++) {
    g_autofree char *name = g_strdup_printf ("c%u", i);
    g_autofree char *parent = i ? g_strdup_printf ("c%u", i - 1) : NULL;
    add (forest, name, parent, i);
  }
  forest_link (forest);
  forest_remove (forest, forest_lookup (forest, "c50000"));
  g_assert_cmpuint (forest_current (forest)->position, ==, MANY - 2);
  g_assert_cmpstr (forest_lookup (forest, "c50001")->parent->name, ==,
                   "c49999");
  forest_remove_with_descendants (forest, forest_lookup (forest, "c1"));
  assert_list (forest_all (forest), "c0");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/forest/empty", test_empty);
  g_test_add_func ("/forest/order", test_order);
  g_test_add_func ("/forest/duplicate", test_duplicate);
  g_test_add_func ("/forest/current", test_current);
  g_test_add_func ("/forest/problems", test_problems);
  g_test_add_func ("/forest/problem-current", test_problem_current);
  g_test_add_func ("/forest/loop-long", test_loop_long);
  g_test_add_func ("/forest/deep", test_deep);
  g_test_add_func ("/forest/wide", test_wide);
  g_test_add_func ("/forest/remove", test_remove);
  g_test_add_func ("/forest/remove-branch", test_remove_branch);
  g_test_add_func ("/forest/remove-loop", test_remove_loop);
  g_test_add_func ("/forest/insert", test_insert);
  g_test_add_func ("/forest/change-deep", test_change_deep);
  return g_test_run ();
}
