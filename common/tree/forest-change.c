/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Changes of a linked forest.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "tree/forest-internal.h"

/* As in libvirt (virDomainMomentCheckCycles).  All names of parents are
 * resolved but those of roots, so only the root above could name a checkpoint
 * that is not there yet. */
static bool
check_parent (const Forest *forest, const Checkpoint *checkpoint,
              GError **error)
{
  const char *name = checkpoint->name, *parent_name = checkpoint->parent_name;

  if (!parent_name)
    return true;
  if (strcmp (parent_name, name) == 0)
    return error_set (error, ELOOP, "checkpoint '%s' cannot be its own parent",
                      name);
  const Checkpoint *root = forest_lookup (forest, parent_name);
  if (!root)
    return error_set (error, ENOENT, "checkpoint '%s' cannot be added: its "
                      "parent '%s' is missing; add that first", name,
                      parent_name);
  while (root->parent)
    root = root->parent;
  if (g_strcmp0 (root->parent_name, name) == 0)
    return error_set (error, ELOOP, "checkpoint '%s' cannot have the parent "
                      "'%s': it would be its own ancestor, as checkpoint '%s' "
                      "names it as its parent", name, parent_name, root->name);
  return true;
}

bool
forest_insert (Forest *forest, Checkpoint *checkpoint, GError **error)
{
  if ((!forest_lookup (forest, checkpoint->name)
       && !check_parent (forest, checkpoint, error))
      || !forest_add (forest, checkpoint, error))
    return false;
  forest_link (forest);
  return true;
}

/* Free those at these positions, and link the others again. */
static void
drop (Forest *forest, guint first, guint last)
{
  for (guint i = forest->added->len; i-- > 0; ) {
    const Checkpoint *checkpoint = g_ptr_array_index (forest->added, i);

    if (checkpoint->position < first || checkpoint->position > last)
      continue;
    g_hash_table_remove (forest->by_name, checkpoint->name);
    g_ptr_array_remove_index_fast (forest->added, i);
  }
  forest_link (forest);
}

void
forest_remove (Forest *forest, const Checkpoint *checkpoint)
{
  const Checkpoint *parent = checkpoint->parent;

  for (Checkpoint *child = checkpoint->first_child; child;
       child = child->next_sibling)
    checkpoint_set_parent_name (child, parent ? parent->name : NULL);
  drop (forest, checkpoint->position, checkpoint->position);
}

void
forest_remove_with_descendants (Forest *forest, const Checkpoint *checkpoint)
{
  drop (forest, checkpoint->position, checkpoint->last_position);
}

/* Is other, or one of its ancestors, the checkpoint of that name? */
static bool
comes_from (const Checkpoint *other, const char *name)
{
  for (; other; other = other->parent)
    if (strcmp (other->name, name) == 0)
      return true;
  return false;
}

bool
forest_check_redefined (const Forest *forest, const Checkpoint *checkpoint,
                        GError **error)
{
  const char *name = checkpoint->name, *parent_name = checkpoint->parent_name;

  if (!forest_lookup (forest, name))
    return check_parent (forest, checkpoint, error);
  if (!parent_name)
    return true;
  if (strcmp (parent_name, name) == 0)
    return error_set (error, ELOOP, "checkpoint '%s' cannot be its own parent",
                      name);
  const Checkpoint *parent = forest_lookup (forest, parent_name);
  if (!parent)
    return error_set (error, ENOENT, "checkpoint '%s' cannot be changed: its "
                      "parent '%s' is missing; add that first", name,
                      parent_name);
  return !comes_from (parent, name)
    || error_set (error, ELOOP, "checkpoint '%s' cannot have the parent '%s', "
                  "which comes from it", name, parent_name);
}

bool
forest_redefine (Forest *forest, Checkpoint *checkpoint, GError **error)
{
  Checkpoint *old = g_hash_table_lookup (forest->by_name, checkpoint->name);

  if (!forest_check_redefined (forest, checkpoint, error))
    return false;
  if (old) {
    g_hash_table_remove (forest->by_name, checkpoint->name);
    g_ptr_array_remove_fast (forest->added, old);
  }
  forest_add (forest, checkpoint, NULL);
  forest_link (forest);
  return true;
}
