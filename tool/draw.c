/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * virsh's drawing (vshTreePrint, libvirt 9.0).  Not recursive: chains may be
 * very long.
 */
#include <config.h>

#include <stdio.h>

#include "base/printable.h"
#include "tool/draw.h"

typedef struct {
  const Checkpoint *checkpoint;
  guint depth;                  /* 0: a root */
  bool is_last;                 /* of its siblings */
} Node;

/* Before a node of that depth. */
static gsize
indent_at (guint depth)
{
  return depth ? 4 * (gsize) depth - 2 : 0;
}

/* By the parents' positions: arrays of those that are drawn, or NULL. */
static GPtrArray **
group (guint positions, const GPtrArray *checkpoints, GPtrArray *roots)
{
  GPtrArray **children = g_new0 (GPtrArray *, positions);
  g_autofree bool *is_drawn = g_new0 (bool, positions);

  for (guint i = 0; i < checkpoints->len; i++)
    is_drawn[((const Checkpoint *) g_ptr_array_index (checkpoints, i))
               ->position] = true;
  for (guint i = 0; i < checkpoints->len; i++) {
    Checkpoint *checkpoint = g_ptr_array_index (checkpoints, i);
    const Checkpoint *parent = checkpoint->parent;
    GPtrArray **siblings = &roots;
    if (parent && is_drawn[parent->position])
      siblings = &children[parent->position];
    if (!*siblings)
      *siblings = g_ptr_array_new ();
    g_ptr_array_add (*siblings, checkpoint);
  }
  return children;
}

/* The first comes off first. */
static void
push_all (GArray *stack, const GPtrArray *siblings, guint depth)
{
  for (guint i = siblings->len; i > 0; i--) {
    const Node node = { g_ptr_array_index (siblings, i - 1), depth,
                        i == siblings->len || depth == 0 };
    g_array_append_val (stack, node);
  }
}

static void
draw_node (const Node *node, bool has_children, GString *indent)
{
  g_autofree char *name = g_strdup (node->checkpoint->name);

  printable_make (name);
  g_string_truncate (indent, indent_at (node->depth));
  printf ("%s%s%s\n", indent->str, node->depth ? "+- " : "", name);
  if (node->depth)
    g_string_append (indent, node->is_last ? "  " : "| ");
  if (has_children)
    printf ("%s  |\n", indent->str);
  else if (node->is_last)
    puts (indent->str);
  g_string_append (indent, "  ");
}

void
draw (const Forest *forest, const GPtrArray *checkpoints)
{
  g_autoptr (GPtrArray) roots = g_ptr_array_new ();
  g_autofree GPtrArray **children
    = group (forest_size (forest), checkpoints, roots);
  g_autoptr (GArray) stack = g_array_new (FALSE, FALSE, sizeof (Node));
  g_autoptr (GString) indent = g_string_new (NULL);

  push_all (stack, roots, 0);
  while (stack->len > 0) {
    const Node node = g_array_index (stack, Node, stack->len - 1);
    g_array_set_size (stack, stack->len - 1);
    GPtrArray *below = children[node.checkpoint->position];
    draw_node (&node, below != NULL, indent);
    if (!below)
      continue;
    push_all (stack, below, node.depth + 1);
    g_ptr_array_unref (below);
  }
}
