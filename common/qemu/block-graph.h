/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The block nodes of a running QEMU, and which stands on which.
 */
#pragma once

#include "qemu/qmp.h"

typedef struct BlockGraph BlockGraph;

/* As they are now. */
BlockGraph *block_graph_load (Qmp *qmp, GError **error);
/* NULL is fine. */
void block_graph_free (BlockGraph *graph);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (BlockGraph, block_graph_free)

/* What QEMU tells of a node (BlockDeviceInfo); NULL: there is none of that name.
 * All that is returned here and below is borrowed from the graph.
 */
JsonObject *block_graph_info (const BlockGraph *graph, const char *node);

/* A child of a node, by what it is to it ("file", "backing"), or NULL. */
const char *block_graph_child (const BlockGraph *graph, const char *node,
                               const char *role);

/* The node, or that which it filters: what throttles, copies on a read or before
 * a write has no data, and no bitmaps, of its own.
 */
const char *block_graph_data (const BlockGraph *graph, const char *node);

/* The nodes that stand under no other, and on one: a storage daemon's disks.  A
 * new array.
 */
GPtrArray *block_graph_tops (const BlockGraph *graph);

/* The first job that works on a node, or NULL. */
const char *block_graph_job (const BlockGraph *graph, const char *node);
