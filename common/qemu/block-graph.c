/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * query-named-block-nodes tells of nodes, but until QEMU 10.1 not of their
 * children.  x-debug-query-block-graph does, since 4.0.  Source: QEMU 7.2
 * qapi/block-core.json.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/json-text.h"
#include "qemu/block-graph.h"

/* Filters on filters; and no loop. */
#define FILTERS_LIMIT 64

typedef struct {
  const char *name;
  bool is_job;
} Vertex;

struct BlockGraph {
  JsonNode *answers[2];         /* what all names are borrowed from */
  GHashTable *info;             /* name of a node → JsonObject */
  GHashTable *ids;              /* gint64 → Vertex: of nodes and jobs */
  JsonArray *edges;
};

/* Those of QEMU 7.2 to 10.0 (is_filter in block/), but for such as only QEMU's
 * tests use.
 */
static bool
is_filter (JsonObject *info)
{
  static const char *const filters[] = {
    "throttle", "copy-on-read", "copy-before-write", "preallocate",
    "compress", "mirror_top", "commit_top", "blkdebug", "blklogwrites", NULL
  };

  return g_strv_contains (filters, json_text_string (info, "drv", ""));
}

static void
add_vertex (BlockGraph *graph, JsonObject *object)
{
  const char *type = json_text_string (object, "type", "");
  const gint64 id = json_text_int (object, "id");
  const bool is_job = strcmp (type, "block-job") == 0;

  if (!is_job && strcmp (type, "block-driver") != 0)
    return;
  Vertex *vertex = g_new0 (Vertex, 1);
  vertex->name = json_text_string (object, "name", "");
  vertex->is_job = is_job;
  g_hash_table_insert (graph->ids, g_memdup2 (&id, sizeof id), vertex);
}

static bool
fill (BlockGraph *graph, GError **error)
{
  JsonArray *nodes = json_text_node_array (graph->answers[0]);
  JsonObject *drawn = JSON_NODE_HOLDS_OBJECT (graph->answers[1])
    ? json_node_get_object (graph->answers[1]) : NULL;
  JsonArray *vertices = json_text_array (drawn, "nodes");

  graph->edges = json_text_array (drawn, "edges");
  if (!nodes || !vertices || !graph->edges)
    return error_set (error, EPROTO, "QEMU's answer about its block nodes is "
                      "not understood; is it QEMU 7.2 or later?");
  for (guint i = 0; i < json_array_get_length (nodes); i++) {
    JsonObject *info = json_text_element (nodes, i);
    const char *name = json_text_string (info, "node-name", NULL);
    if (name)
      g_hash_table_insert (graph->info, (gpointer) name, info);
  }
  for (guint i = 0; i < json_array_get_length (vertices); i++)
    add_vertex (graph, json_text_element (vertices, i));
  return true;
}

BlockGraph *
block_graph_load (Qmp *qmp, GError **error)
{
  g_autoptr (BlockGraph) graph = g_new0 (BlockGraph, 1);
  JsonObject *arguments = json_object_new ();

  graph->info = g_hash_table_new (g_str_hash, g_str_equal);
  graph->ids = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free,
                                      g_free);
  json_object_set_boolean_member (arguments, "flat", true);
  return qmp_execute (qmp, "query-named-block-nodes", arguments,
                      &graph->answers[0], error)
    && qmp_execute (qmp, "x-debug-query-block-graph", NULL,
                    &graph->answers[1], error)
    && fill (graph, error) ? g_steal_pointer (&graph) : NULL;
}

void
block_graph_free (BlockGraph *graph)
{
  if (!graph)
    return;
  g_hash_table_unref (graph->info);
  g_hash_table_unref (graph->ids);
  for (guint i = 0; i < G_N_ELEMENTS (graph->answers); i++)
    g_clear_pointer (&graph->answers[i], json_node_unref);
  g_free (graph);
}

JsonObject *
block_graph_info (const BlockGraph *graph, const char *node)
{
  return node ? g_hash_table_lookup (graph->info, node) : NULL;
}

/* One end of an edge: what is there, if it is a node, or a job. */
static const Vertex *
edge_end (const BlockGraph *graph, JsonObject *edge, const char *which)
{
  const gint64 id = json_text_int (edge, which);

  return g_hash_table_lookup (graph->ids, &id);
}

static bool
is_node (const Vertex *vertex, const char *name)
{
  return vertex && !vertex->is_job && strcmp (vertex->name, name) == 0;
}

const char *
block_graph_child (const BlockGraph *graph, const char *node, const char *role)
{
  for (guint i = 0; i < json_array_get_length (graph->edges); i++) {
    JsonObject *edge = json_text_element (graph->edges, i);
    if (strcmp (json_text_string (edge, "name", ""), role) == 0
        && is_node (edge_end (graph, edge, "parent"), node)) {
      const Vertex *child = edge_end (graph, edge, "child");
      return child && !child->is_job ? child->name : NULL;
    }
  }
  return NULL;
}

const char *
block_graph_data (const BlockGraph *graph, const char *node)
{
  for (guint i = 0; i < FILTERS_LIMIT; i++) {
    JsonObject *info = block_graph_info (graph, node);
    if (!info || !is_filter (info))
      break;
    const char *child = block_graph_child (graph, node, "file");
    if (!child)
      child = block_graph_child (graph, node, "backing");
    if (!child)
      break;
    node = child;
  }
  return node;
}

GPtrArray *
block_graph_tops (const BlockGraph *graph)
{
  GPtrArray *tops = g_ptr_array_new ();
  g_autoptr (GHashTable) below = g_hash_table_new (g_str_hash, g_str_equal);
  JsonArray *nodes = json_text_node_array (graph->answers[0]);

  for (guint i = 0; i < json_array_get_length (graph->edges); i++) {
    JsonObject *edge = json_text_element (graph->edges, i);
    const Vertex *parent = edge_end (graph, edge, "parent");
    const Vertex *child = edge_end (graph, edge, "child");
    if (parent && !parent->is_job && child && !child->is_job)
      g_hash_table_add (below, (gpointer) child->name);
  }
  for (guint i = 0; i < json_array_get_length (nodes); i++) {
    const char *name = json_text_string (json_text_element (nodes, i),
                                         "node-name", "");
    if (!g_hash_table_contains (below, name)
        && (block_graph_child (graph, name, "file")
            || block_graph_child (graph, name, "backing")))
      g_ptr_array_add (tops, (gpointer) name);
  }
  return tops;
}

const char *
block_graph_job (const BlockGraph *graph, const char *node)
{
  for (guint i = 0; i < json_array_get_length (graph->edges); i++) {
    JsonObject *edge = json_text_element (graph->edges, i);
    const Vertex *parent = edge_end (graph, edge, "parent");
    if (parent && parent->is_job
        && is_node (edge_end (graph, edge, "child"), node))
      return parent->name;
  }
  return NULL;
}
