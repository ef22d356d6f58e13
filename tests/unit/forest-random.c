/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Random forests, with missing parents and loops, and random changes of them:
 * after each, all that common/tree/forest.c answers is compared with a naive
 * implementation.  Repeat a failure with the seed that is printed first:
 * --seed=.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "base/error.h"
#include "tree/forest.h"

#define NODES 24
#define ROUNDS 1000
#define CHANGES 25

typedef struct Model {
  const Checkpoint *node[NODES]; /* NULL: not there */
  int parent[NODES];            /* as named; -1: none; NODES: never there */
  guint age[NODES];
  bool cut[NODES];              /* a problem makes it a root */
  guint problems;
} Model;

/* What came of the changes, so that none is left untried. */
typedef enum {
  REMOVED, REMOVED_WITH_DESCENDANTS, LOADED, INSERTED, NAME_TAKEN, NO_PARENT,
  OWN_PARENT, CYCLE, OUTCOMES
} Outcome;

/* --- the model --- */

static int
linked_parent (const Model *model, int i)
{
  return model->cut[i] ? -1 : model->parent[i];
}

static bool
reaches (const Model *model, int from, int to)
{
  for (int steps = 0; steps <= NODES; steps++) {
    from = linked_parent (model, from);
    if (from == to)
      return true;
    if (from < 0)
      return false;
  }
  return false;
}

/* By age, as names sort like indices. */
static bool
older (const Model *model, int a, int b)
{
  return model->age[a] < model->age[b]
    || (model->age[a] == model->age[b] && a < b);
}

static void
cut (Model *model, int i)
{
  model->cut[i] = true;
  model->problems++;
}

/* Find what is wrong, from nothing. */
static void
naive_link (Model *model)
{
  memset (model->cut, 0, sizeof model->cut);
  model->problems = 0;
  for (int i = 0; i < NODES; i++)
    if (model->node[i] && model->parent[i] >= 0
        && (model->parent[i] == NODES || !model->node[model->parent[i]]))
      cut (model, i);
  for (;;) {
    int oldest = -1;

    for (int i = 0; i < NODES; i++)
      if (model->node[i] && reaches (model, i, i)
          && (oldest < 0 || older (model, i, oldest)))
        oldest = i;
    if (oldest < 0)
      return;
    cut (model, oldest);
  }
}

/* The children of a checkpoint (-1: the roots), or all below it, in order. */
static void
list_below (const Model *model, int parent, bool deep, GPtrArray *list)
{
  bool listed[NODES] = { false };

  for (;;) {
    int oldest = -1;

    for (int i = 0; i < NODES; i++)
      if (model->node[i] && !listed[i] && linked_parent (model, i) == parent
          && (oldest < 0 || older (model, i, oldest)))
        oldest = i;
    if (oldest < 0)
      return;
    listed[oldest] = true;
    g_ptr_array_add (list, (gpointer) model->node[oldest]);
    if (deep)
      list_below (model, oldest, true, list);
  }
}

static void
naive_remove (Model *model, int i)
{
  const int parent = linked_parent (model, i);

  for (int j = 0; j < NODES; j++)
    if (model->node[j] && linked_parent (model, j) == i)
      model->parent[j] = parent;
  model->node[i] = NULL;
}

static void
naive_remove_with_descendants (Model *model, int i)
{
  for (int j = 0; j < NODES; j++)
    if (model->node[j] && reaches (model, j, i))
      model->node[j] = NULL;
  model->node[i] = NULL;
}

/* What would be wrong with a new checkpoint, as an errno, or 0.  The names of
 * parents are followed as they are, not as they were linked.
 */
static int
naive_check (const Model *model, int i, int parent)
{
  if (model->node[i])
    return EEXIST;
  if (parent == i)
    return ELOOP;
  if (parent == NODES || (parent >= 0 && !model->node[parent]))
    return ENOENT;
  for (int steps = 0; steps <= NODES; steps++) {
    if (parent == i)
      return ELOOP;
    if (parent < 0 || parent == NODES || !model->node[parent])
      return 0;
    parent = model->parent[parent];
  }
  return 0;                     /* in a loop that is there already */
}

/* --- comparison --- */

static void
assert_same (const GPtrArray *list, const GPtrArray *expected)
{
  g_assert_cmpuint (list->len, ==, expected->len);
  for (guint i = 0; i < list->len; i++)
    g_assert_true (g_ptr_array_index (list, i)
                   == g_ptr_array_index (expected, i));
}

#define ASSERT_SAME(call, expected)             \
  do {                                          \
    g_autoptr (GPtrArray) list_ = (call);       \
    assert_same (list_, (expected));            \
  } while (0)

static void
compare_one (const Forest *forest, const Model *model, int i)
{
  const Checkpoint *node = model->node[i];
  const int parent = linked_parent (model, i);
  g_autoptr (GPtrArray) children = g_ptr_array_new ();
  g_autoptr (GPtrArray) descendants = g_ptr_array_new ();

  list_below (model, i, false, children);
  list_below (model, i, true, descendants);
  ASSERT_SAME (forest_children (forest, node), children);
  ASSERT_SAME (forest_descendants (forest, node), descendants);
  g_assert_true (node->parent == (parent < 0 ? NULL : model->node[parent]));
  g_assert_true (g_ptr_array_index (forest_all (forest), node->position)
                 == node);
  for (int j = 0; j < NODES; j++)
    if (model->node[j])
      g_assert_true (forest_is_ancestor (node, model->node[j])
                     == reaches (model, j, i));

  /* What would be written. */
  g_autofree char *parent_name
    = model->parent[i] < 0 ? NULL : g_strdup_printf ("c%02d", model->parent[i]);
  g_assert_cmpstr (node->parent_name, ==, parent_name);
}

static void
compare (const Forest *forest, Model *model)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new ();
  g_autoptr (GPtrArray) roots = g_ptr_array_new ();
  g_autoptr (GPtrArray) leaves = g_ptr_array_new ();
  g_autoptr (GPtrArray) names = forest_names (forest);

  naive_link (model);
  list_below (model, -1, true, all);
  list_below (model, -1, false, roots);
  g_assert_cmpuint (forest_size (forest), ==, all->len);
  assert_same (forest_all (forest), all);
  ASSERT_SAME (forest_descendants (forest, NULL), all);
  ASSERT_SAME (forest_roots (forest), roots);
  ASSERT_SAME (forest_children (forest, NULL), roots);
  for (int i = 0; i < NODES; i++) {
    g_autofree char *name = g_strdup_printf ("c%02d", i);

    g_assert_true (forest_lookup (forest, name) == model->node[i]);
    if (model->node[i])
      compare_one (forest, model, i);
  }
  for (guint i = 0; i < all->len; i++) {
    const Checkpoint *node = g_ptr_array_index (all, i);
    const int index = atoi (node->name + 1);
    g_autoptr (GPtrArray) children = g_ptr_array_new ();

    g_assert_true (g_ptr_array_index (names, i) == node->name);
    list_below (model, index, false, children);
    if (children->len == 0)
      g_ptr_array_add (leaves, (gpointer) node);
  }
  ASSERT_SAME (forest_leaves (forest), leaves);
  g_assert_cmpuint (forest_problems (forest)->len, ==, model->problems);
  g_assert_true (forest_current (forest)
                 == (roots->len == 1 && leaves->len == 1
                     && model->problems == 0
                     ? g_ptr_array_index (leaves, 0) : NULL));
}

/* --- forests and changes --- */

static Checkpoint *
make (int i, int parent, guint age)
{
  g_autofree char *name = g_strdup_printf ("c%02d", i);
  g_autofree char *parent_name
    = parent < 0 ? NULL : g_strdup_printf ("c%02d", parent);
  Checkpoint *checkpoint = checkpoint_new (name);

  checkpoint_set_parent_name (checkpoint, parent_name);
  checkpoint->has_creation_time = true;
  checkpoint->creation_time = age;
  return checkpoint;
}

/* As a document of a tree, whatever it names; the caller links. */
static void
load (Forest *forest, Model *model, int i, int parent)
{
  const guint age = (guint) g_test_rand_int_range (0, 6);
  Checkpoint *checkpoint = make (i, parent, age);

  g_assert_true (forest_add (forest, checkpoint, NULL));
  model->node[i] = checkpoint;
  model->parent[i] = parent;
  model->age[i] = age;
}

static void
fill (Forest *forest, Model *model)
{
  /* From nearly a chain to anything, and from a part to all of it. */
  const int spread = g_test_rand_int_range (1, NODES + 1);
  const int part = g_test_rand_int_range (1, 5);

  for (int n = 0, i = g_test_rand_int_range (0, NODES); n < NODES;
       n++, i = (i + 7) % NODES) {
    const int before = i - g_test_rand_int_range (1, spread + 1);
    const int parent = g_test_rand_int_range (0, 20) == 0
      ? g_test_rand_int_range (-1, NODES + 1) : MAX (-1, before);

    if (part == 1 || g_test_rand_int_range (0, part) > 0)
      load (forest, model, i, parent);
  }
  forest_link (forest);
}

static Outcome
insert (Forest *forest, Model *model, int i, int parent)
{
  g_autoptr (GError) error = NULL;
  const guint age = (guint) g_test_rand_int_range (0, 6);
  g_autoptr (Checkpoint) checkpoint = make (i, parent, age);
  const int expected = naive_check (model, i, parent);

  if (forest_insert (forest, checkpoint, &error)) {
    g_assert_no_error (error);
    g_assert_cmpint (expected, ==, 0);
    model->node[i] = g_steal_pointer (&checkpoint);
    model->parent[i] = parent;
    model->age[i] = age;
    return INSERTED;
  }
  g_assert_error (error, CHECKPOINT_ERROR, expected);
  return expected == EEXIST ? NAME_TAKEN
    : expected == ENOENT ? NO_PARENT : parent == i ? OWN_PARENT : CYCLE;
}

static Outcome
change (Forest *forest, Model *model)
{
  const int i = g_test_rand_int_range (0, NODES);
  const int what = g_test_rand_int_range (0, 8);
  const int parent = g_test_rand_int_range (-1, NODES + 1);

  if (model->node[i] && what < 2) {
    forest_remove (forest, model->node[i]);
    naive_remove (model, i);
    return REMOVED;
  }
  if (model->node[i] && what == 2) {
    forest_remove_with_descendants (forest, model->node[i]);
    naive_remove_with_descendants (model, i);
    return REMOVED_WITH_DESCENDANTS;
  }
  if (!model->node[i] && what < 3) {
    load (forest, model, i, parent);
    forest_link (forest);
    return LOADED;
  }
  return insert (forest, model, i, parent);
}

static void
test_random (void)
{
  guint seen[OUTCOMES] = { 0 };

  for (guint round = 0; round < ROUNDS; round++) {
    g_autoptr (Forest) forest = forest_new ();
    Model model = { 0 };

    fill (forest, &model);
    compare (forest, &model);
    for (guint i = 0; i < CHANGES; i++) {
      seen[change (forest, &model)]++;
      compare (forest, &model);
    }
  }
  for (guint i = 0; i < OUTCOMES; i++) {
    g_test_message ("outcome %u: %u times", i, seen[i]);
    g_assert_cmpuint (seen[i], >, 0);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/forest/random", test_random);
  return g_test_run ();
}
