/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The checkpoints' parents.
 */
#include <config.h>

#include <string.h>

#include "base/nearest.h"
#include "check/internal.h"
#include "source/current.h"

#define NAMES_SHOWN 8
/* As libvirt writes it; a name has no slash. */
#define WITHOUT_PARENT "s|<parent>[^/]*</name>[^/]*</parent>||"

/* A root that names a parent: it is not there, or is its own descendant. */
static void
look_at_parent (Check *check, const Checkpoint *checkpoint)
{
  const char *parent = checkpoint->parent_name;

  if (!parent || checkpoint->parent)
    return;
  const bool is_missing = !forest_lookup (check->forest, parent);
  Finding *finding
    = finding_new (is_missing ? FINDING_PARENT : FINDING_LOOP);
  finding_add_checkpoint (finding, checkpoint->name);
  finding->file = g_strdup (checkpoint->file);
  finding->why = is_missing
    ? g_strdup_printf ("checkpoint %s has the parent %s, which is not there",
                       checkpoint->name, parent)
    : g_strdup_printf ("checkpoint %s has the parent %s, which comes after it",
                       checkpoint->name, parent);
  finding->command
    = mend_document (check, checkpoint->name, WITHOUT_PARENT);
  check_add (check, finding);
}

/* Since which checkpoints on the way to leaf disks can be had. */
static void
describe_way (const Check *check, const Checkpoint *leaf, GString *text)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  const GPtrArray *views = check->result->views;

  for (const Checkpoint *at = leaf; at; at = at->parent)
    for (guint i = 0; i < views->len; i++) {
      const CheckedView *view = g_ptr_array_index (views, i);
      if (!view->usable || strcmp (view->checkpoint, at->name) != 0)
        continue;
      g_ptr_array_add (names, at->name);
      break;
    }
  g_autofree char *shown = nearest_names (NULL, names, NAMES_SHOWN);
  g_string_append_printf (text, "; on the way to %s backups can be made since: "
                          "%s", leaf->name, shown);
}

static const Checkpoint *
parent_of_next (const Check *check)
{
  return !check->source || check->guest ? forest_current (check->forest)
    : current_on_disks (check->forest, check->source->disks);
}

/* The guest went on from an older point at a time, so that both have been. */
static void
look_at_branches (Check *check, const GPtrArray *leaves, bool is_branch)
{
  Finding *finding
    = finding_new (is_branch ? FINDING_BRANCH : FINDING_ROOTS);
  GString *text = g_string_new (is_branch
    ? "the tree has branches, as after a snapshot was reverted"
    : "there are several trees, of which nothing says what came last");

  for (guint i = 0; i < leaves->len; i++)
    finding_add_checkpoint (finding, ((Checkpoint *) g_ptr_array_index (
                                        leaves, i))->name);
  for (guint i = 0; check->result->views->len > 0
         && i < MIN (leaves->len, NAMES_SHOWN); i++)
    describe_way (check, g_ptr_array_index (leaves, i), text);
  const Checkpoint *current = parent_of_next (check);
  g_string_append_printf (text, current ? "; the next checkpoint has the parent "
                          "%s" : "; the next checkpoint has no parent%s",
                          current ? current->name : "");
  finding->why = g_string_free (text, FALSE);
  check_add (check, finding);
}

void
check_tree (Check *check)
{
  const GPtrArray *all = forest_all (check->forest);
  g_autoptr (GPtrArray) leaves = forest_leaves (check->forest);
  g_autoptr (GPtrArray) roots = forest_roots (check->forest);

  if (!check->has_documents)    /* each bitmap is a tree */
    return;
  for (guint i = 0; i < all->len; i++)
    look_at_parent (check, g_ptr_array_index (all, i));
  if (leaves->len > roots->len)
    look_at_branches (check, leaves, true);
  else if (roots->len > 1)
    look_at_branches (check, leaves, false);
}
