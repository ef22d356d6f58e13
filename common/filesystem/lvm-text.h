/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The text in which LVM keeps what it knows of a group of volumes.  Untrusted.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

typedef struct LvmNode LvmNode;
struct LvmNode {
  char *name;
  GPtrArray *values;            /* of char *, strings and numbers alike; NULL: it
                                 * is a section */
  GPtrArray *nodes;             /* of LvmNode: what a section has; else NULL */
};

/* length bytes, which need not be valid UTF-8.  NULL: it is no such text, or is
 * nested too deeply.
 */
LvmNode *lvm_text_parse (const char *text, gsize length);
void lvm_node_free (LvmNode *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LvmNode, lvm_node_free)

/* A section's node of that name.  section may be NULL.  NULL: it has none. */
const LvmNode *lvm_node_find (const LvmNode *section, const char *name);

/* The value at that place, or NULL. */
const char *lvm_node_value (const LvmNode *section, const char *name,
                            guint index);

/* False: it is none, or none that a guint64 holds. */
bool lvm_node_number (const LvmNode *section, const char *name, guint index,
                      guint64 *number);
