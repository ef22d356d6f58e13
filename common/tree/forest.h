/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The checkpoints of one guest and their parent links.  It is a forest: libvirt
 * allows branches and several roots, made by redefining.  Add all checkpoints
 * and call forest_link () once; from then on, read it, or change it.  Reading
 * is safe from any number of threads; building and changing is for one thread,
 * while no other reads.  No walk is recursive; chains may be very long.
 */

#pragma once

#include <stdbool.h>

#include <glib.h>

#include "tree/checkpoint.h"

typedef struct Forest Forest;

/* A new, empty forest; forest_free ().  It owns its checkpoints. */
Forest *forest_new (void);
void forest_free (Forest *forest);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Forest, forest_free)

/* Add a checkpoint, which belongs to the forest afterwards.  On failure it
 * stays the caller's: EEXIST if the name is taken. */
bool forest_add (Forest *forest, Checkpoint *checkpoint, GError **error);

/* Resolve the parents' names, after all checkpoints were added.  A checkpoint
 * whose parent is missing or is itself becomes a root, and so does the oldest
 * checkpoint of a loop, as in libvirt (virDomainMomentSetRelations); each adds
 * a line to forest_problems ().  Linear time, apart from one sort by age. */
void forest_link (Forest *forest);

/* What forest_link () found wrong: const char *, one line each; first wrong
 * parents, then loops, both oldest first.  Borrowed; empty if all is well. */
const GPtrArray *forest_problems (const Forest *forest);

/* A checkpoint by its name, borrowed, or NULL.  Constant time. */
const Checkpoint *forest_lookup (const Forest *forest, const char *name);

/* How many checkpoints were added. */
guint forest_size (const Forest *forest);

/* Everything from here on needs forest_link () before.
 *
 * All lists are of const Checkpoint * and topological: each checkpoint is
 * followed by all its descendants before the next sibling (or root) comes.
 * Siblings and roots are ordered by creation time, those without one first,
 * then by name in byte order; so the order is the same in each run. */

/* All checkpoints.  Borrowed. */
const GPtrArray *forest_all (const Forest *forest);

/* New arrays of borrowed pointers; g_ptr_array_unref ().  The children of
 * NULL are the roots, its descendants are all. */
GPtrArray *forest_roots (const Forest *forest);
GPtrArray *forest_leaves (const Forest *forest);
GPtrArray *forest_children (const Forest *forest,
                            const Checkpoint *checkpoint);
GPtrArray *forest_descendants (const Forest *forest,
                               const Checkpoint *checkpoint);

/* The names (const char *, borrowed) in the order of forest_all (), in a new
 * array; g_ptr_array_unref (). */
GPtrArray *forest_names (const Forest *forest);

/* The checkpoint that libvirt would take as the current one when it starts:
 * the single leaf of a single unbranched tree without problems, else NULL
 * (virDomainMomentFindLeaf).  Borrowed. */
const Checkpoint *forest_current (const Forest *forest);

/* True if ancestor is the parent, grandparent, ... of "of"; false for a
 * checkpoint and itself.  Both from one linked forest.  Constant time. */
bool forest_is_ancestor (const Checkpoint *ancestor, const Checkpoint *of);

/* Changes of a linked forest, which is linked again afterwards: everything
 * above is as if the checkpoints that are there now had been loaded, which may
 * also add to or take from forest_problems ().  Lists that were handed out
 * before are void.  Each change takes the time of forest_link ().
 *
 * libvirt keeps a current checkpoint of its own while it runs: the parent, if
 * the current one is deleted.  forest_current () is what it takes when it
 * starts again: the same one in a tree without branches. */

/* Add a checkpoint, which belongs to the forest afterwards.  It becomes the
 * parent of those that named it when it was missing.  On failure it stays the
 * caller's and nothing is changed: EEXIST if the name is taken, ENOENT if its
 * parent is not there, ELOOP if it would be its own ancestor. */
bool forest_insert (Forest *forest, Checkpoint *checkpoint, GError **error);

/* Remove and free a checkpoint of this forest.  Its children get its parent,
 * or become roots, as with virDomainCheckpointDelete without flags. */
void forest_remove (Forest *forest, const Checkpoint *checkpoint);

/* Remove and free a checkpoint of this forest and all its descendants, as with
 * VIR_DOMAIN_CHECKPOINT_DELETE_CHILDREN. */
void forest_remove_with_descendants (Forest *forest,
                                     const Checkpoint *checkpoint);

/* May checkpoint be added, or take the place of the one of its name, as with
 * VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE?  ENOENT: its parent is not there;
 * ELOOP: that is itself, or comes from it. */
bool forest_check_redefined (const Forest *forest,
                             const Checkpoint *checkpoint, GError **error);

/* Do so, and free the one before.  Its children are those of the new one.  On
 * failure checkpoint stays the caller's and nothing is changed. */
bool forest_redefine (Forest *forest, Checkpoint *checkpoint, GError **error);
