/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * See forest.h.  After linking, "topological" is a depth-first preorder kept
 * as one array.  The descendants of a checkpoint are a slice of it, so that
 * listing them needs no walk and asking for ancestry no search.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include <glib.h>

#include "base/error.h"
#include "tree/forest-internal.h"

/* How many names of a loop its problem line shows. */
#define LOOP_NAMES 4

Forest *
forest_new (void)
{
  Forest *forest = g_new0 (Forest, 1);

  forest->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  forest->added
    = g_ptr_array_new_with_free_func ((GDestroyNotify) checkpoint_free);
  forest->all = g_ptr_array_new ();
  forest->problems = g_ptr_array_new_with_free_func (g_free);
  return forest;
}

void
forest_free (Forest *forest)
{
  if (!forest)
    return;
  g_hash_table_unref (forest->by_name);
  g_ptr_array_unref (forest->all);
  g_ptr_array_unref (forest->problems);
  g_ptr_array_unref (forest->added);
  g_free (forest);
}

bool
forest_add (Forest *forest, Checkpoint *checkpoint, GError **error)
{
  if (g_hash_table_contains (forest->by_name, checkpoint->name))
    return error_set (error, EEXIST, "there is already a checkpoint named "
                      "'%s'; rename or remove one of the two",
                      checkpoint->name);
  g_hash_table_insert (forest->by_name, checkpoint->name, checkpoint);
  g_ptr_array_add (forest->added, checkpoint);
  return true;
}

static int
compare_age (const void *first, const void *second)
{
  const Checkpoint *a = *(Checkpoint *const *) first;
  const Checkpoint *b = *(Checkpoint *const *) second;

  if (a->has_creation_time != b->has_creation_time)
    return a->has_creation_time ? 1 : -1;
  if (a->creation_time != b->creation_time)
    return a->creation_time < b->creation_time ? -1 : 1;
  return strcmp (a->name, b->name);
}

/* Until the order is known, position is the rank by age, and last_position
 * marks what break_loops () has seen. */
static void
find_parents (Forest *forest, GPtrArray *by_age)
{
  for (guint i = 0; i < by_age->len; i++) {
    Checkpoint *checkpoint = g_ptr_array_index (by_age, i);
    Checkpoint *parent = NULL;

    checkpoint->first_child = checkpoint->last_child = NULL;
    checkpoint->next_sibling = NULL;
    checkpoint->position = i;
    checkpoint->last_position = 0;
    if (checkpoint->parent_name) {
      parent = g_hash_table_lookup (forest->by_name, checkpoint->parent_name);
      if (!parent)
        g_ptr_array_add (forest->problems, g_strdup_printf (
          "checkpoint '%s': its parent '%s' is missing; it is taken as a root",
          checkpoint->name, checkpoint->parent_name));
      else if (parent == checkpoint)
        g_ptr_array_add (forest->problems, g_strdup_printf (
          "checkpoint '%s' is its own parent; it is taken as a root",
          checkpoint->name));
    }
    checkpoint->parent = parent == checkpoint ? NULL : parent;
  }
}

static void
break_loop (Forest *forest, Checkpoint *member)
{
  GString *line = g_string_new (NULL);
  Checkpoint *oldest = member;
  Checkpoint *node;
  guint shown = 0;

  for (node = member->parent; node != member; node = node->parent)
    if (node->position < oldest->position)
      oldest = node;

  g_string_printf (line, "checkpoint '%s' is its own ancestor (its parent is ",
                   oldest->name);
  for (node = oldest->parent; node != oldest && shown < LOOP_NAMES;
       node = node->parent, shown++)
    g_string_append_printf (line, "'%s', whose parent is ", node->name);
  g_string_append_printf (line, "%s'%s'); it is taken as a root",
                          node == oldest ? "" : "... ", oldest->name);
  g_ptr_array_add (forest->problems, g_string_free (line, FALSE));
  oldest->parent = NULL;
}

/* Each walk towards a root ends where this or an earlier one has been, hence
 * all together pass each checkpoint once.  Meeting its own mark is a loop. */
static void
break_loops (Forest *forest, GPtrArray *by_age)
{
  for (guint i = 0; i < by_age->len; i++) {
    const guint mark = i + 1;
    Checkpoint *node = g_ptr_array_index (by_age, i);

    for (; node && node->last_position == 0; node = node->parent)
      node->last_position = mark;
    if (node && node->last_position == mark)
      break_loop (forest, node);
  }
}

/* Roots are linked as siblings too while the order is made; returns the first
 * of them. */
static Checkpoint *
link_children (Forest *forest, GPtrArray *by_age)
{
  Checkpoint *first_root = NULL, *last_root = NULL;

  forest->roots = 0;
  for (guint i = 0; i < by_age->len; i++) {
    Checkpoint *checkpoint = g_ptr_array_index (by_age, i);
    Checkpoint *parent = checkpoint->parent;
    Checkpoint **first = parent ? &parent->first_child : &first_root;
    Checkpoint **last = parent ? &parent->last_child : &last_root;

    if (*last == NULL)
      *first = checkpoint;
    else
      (*last)->next_sibling = checkpoint;
    *last = checkpoint;
    if (!parent)
      forest->roots++;
  }
  return first_root;
}

static void
order_all (Forest *forest, Checkpoint *node)
{
  while (node) {
    node->position = forest->all->len;
    g_ptr_array_add (forest->all, node);
    if (node->first_child) {
      node = node->first_child;
      continue;
    }
    while (node && !node->next_sibling)
      node = node->parent;
    if (node)
      node = node->next_sibling;
  }

  forest->leaves = 0;
  for (guint i = forest->all->len; i-- > 0; ) {
    Checkpoint *checkpoint = g_ptr_array_index (forest->all, i);

    checkpoint->last_position =
      checkpoint->last_child ? checkpoint->last_child->last_position : i;
    if (!checkpoint->first_child)
      forest->leaves++;
    if (!checkpoint->parent)
      checkpoint->next_sibling = NULL;
  }
}

void
forest_link (Forest *forest)
{
  g_autoptr (GPtrArray) by_age = g_ptr_array_sized_new (forest->added->len);

  for (guint i = 0; i < forest->added->len; i++)
    g_ptr_array_add (by_age, g_ptr_array_index (forest->added, i));
  g_ptr_array_sort (by_age, compare_age);
  g_ptr_array_set_size (forest->problems, 0);
  g_ptr_array_set_size (forest->all, 0);

  find_parents (forest, by_age);
  break_loops (forest, by_age);
  order_all (forest, link_children (forest, by_age));
}

const GPtrArray *
forest_problems (const Forest *forest)
{
  return forest->problems;
}

const Checkpoint *
forest_lookup (const Forest *forest, const char *name)
{
  return g_hash_table_lookup (forest->by_name, name);
}

guint
forest_size (const Forest *forest)
{
  return forest->added->len;
}

const GPtrArray *
forest_all (const Forest *forest)
{
  return forest->all;
}

GPtrArray *
forest_roots (const Forest *forest)
{
  GPtrArray *roots = g_ptr_array_sized_new (forest->roots);

  /* From one root to the next, over all its descendants. */
  for (guint i = 0; i < forest->all->len; ) {
    Checkpoint *root = g_ptr_array_index (forest->all, i);

    g_ptr_array_add (roots, root);
    i = root->last_position + 1;
  }
  return roots;
}

GPtrArray *
forest_leaves (const Forest *forest)
{
  GPtrArray *leaves = g_ptr_array_sized_new (forest->leaves);

  for (guint i = 0; i < forest->all->len; i++) {
    Checkpoint *checkpoint = g_ptr_array_index (forest->all, i);

    if (!checkpoint->first_child)
      g_ptr_array_add (leaves, checkpoint);
  }
  return leaves;
}

GPtrArray *
forest_children (const Forest *forest, const Checkpoint *checkpoint)
{
  GPtrArray *children;

  if (!checkpoint)
    return forest_roots (forest);
  children = g_ptr_array_new ();
  for (Checkpoint *child = checkpoint->first_child; child;
       child = child->next_sibling)
    g_ptr_array_add (children, child);
  return children;
}

GPtrArray *
forest_descendants (const Forest *forest, const Checkpoint *checkpoint)
{
  GPtrArray *descendants = g_ptr_array_new ();
  guint first = 0, end = forest->all->len;

  if (checkpoint) {
    first = checkpoint->position + 1;
    end = MIN (end, checkpoint->last_position + 1);
  }
  for (guint i = first; i < end; i++)
    g_ptr_array_add (descendants, g_ptr_array_index (forest->all, i));
  return descendants;
}

GPtrArray *
forest_names (const Forest *forest)
{
  GPtrArray *names = g_ptr_array_sized_new (forest->all->len);

  for (guint i = 0; i < forest->all->len; i++) {
    const Checkpoint *checkpoint = g_ptr_array_index (forest->all, i);

    g_ptr_array_add (names, checkpoint->name);
  }
  return names;
}

const Checkpoint *
forest_current (const Forest *forest)
{
  if (forest->roots != 1 || forest->leaves != 1 || forest->problems->len > 0)
    return NULL;
  /* One root and one leaf leave no branch, so that the last in order is it. */
  return g_ptr_array_index (forest->all, forest->all->len - 1);
}

bool
forest_is_ancestor (const Checkpoint *ancestor, const Checkpoint *of)
{
  return of->position > ancestor->position
    && of->position <= ancestor->last_position;
}
