/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * blockdev-reopen takes all options of a node anew, and QEMU does not tell them
 * all: one that is not known (discard, a cache's size, a secret) would be lost.
 * libvirt knows what it gave.  The "reopen" of QEMU's own qemu-io, which its
 * monitor for people has, keeps all options but what it is told to change, so that
 * is asked first; a storage daemon has no such monitor.  Source: QEMU 7.2
 * qemu-io-cmds.c (reopen_f), block/monitor/block-hmp-cmds.c (hmp_qemu_io),
 * qapi/block-core.json.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/afterwards.h"
#include "base/error.h"
#include "base/json-text.h"
#include "qemu/block-graph.h"
#include "qemu/reopen.h"

/* How long we wait for the end, and how long it is tried. */
#define WAIT_MS 20000
#define TRIED_S 600
#define PAUSE_MS 500

struct Reopened {
  Monitor *monitor;             /* borrowed */
  const GPtrArray *nodes;       /* borrowed */
  Afterwards *end;
};

static bool
is_unknown (const GError *refusal)
{
  return refusal->code == EINVAL && strstr (refusal->message, "not been found");
}

/* By the monitor for people, whose answer is empty if all is well. */
static bool
reopen_kept (Qmp *qmp, const char *node, bool writable, GError **error)
{
  JsonObject *arguments = json_object_new ();
  g_autoptr (JsonNode) answer = NULL;
  g_autofree char *line
    = g_strdup_printf ("qemu-io %s \"reopen %s\"", node,
                       writable ? "-w" : "-r");

  json_object_set_string_member (arguments, "command-line", line);
  if (!qmp_execute (qmp, "human-monitor-command", arguments, &answer, error))
    return false;
  const char *words = JSON_NODE_HOLDS_VALUE (answer)
    && json_node_get_value_type (answer) == G_TYPE_STRING
    ? json_node_get_string (answer) : "";
  g_autofree char *text = g_strstrip (g_strdup (words));
  return !*text || error_set (error, EINVAL, "%s", text);
}

/* What QEMU tells of its options. */
static JsonObject *
options_of (const BlockGraph *graph, const char *node, bool writable)
{
  static const char *const children[] = { "file", "data-file", "backing" };
  JsonObject *info = block_graph_info (graph, node);
  JsonObject *options = json_object_new ();
  JsonObject *cache = json_object_new ();
  JsonObject *told = json_text_object (info, "cache");

  json_object_set_string_member (options, "driver",
                                 json_text_string (info, "drv", ""));
  json_object_set_string_member (options, "node-name", node);
  json_object_set_boolean_member (options, "read-only", !writable);
  json_object_set_string_member (
    options, "detect-zeroes", json_text_string (info, "detect_zeroes", "off"));
  json_object_set_boolean_member (cache, "direct",
                                  json_text_true (told, "direct"));
  json_object_set_boolean_member (cache, "no-flush",
                                  json_text_true (told, "no-flush"));
  json_object_set_object_member (options, "cache", cache);
  for (guint i = 0; i < G_N_ELEMENTS (children); i++) {
    const char *child = block_graph_child (graph, node, children[i]);
    if (child)
      json_object_set_string_member (options, children[i], child);
    else if (strcmp (children[i], "backing") == 0)
      json_object_set_null_member (options, "backing");
  }
  return options;
}

static bool
reopen_told (Qmp *qmp, const char *node, bool writable, GError **error)
{
  g_autoptr (BlockGraph) graph = block_graph_load (qmp, error);
  JsonObject *arguments;
  JsonArray *all;

  if (!graph)
    return false;
  arguments = json_object_new ();
  all = json_array_new ();
  json_array_add_object_element (all, options_of (graph, node, writable));
  json_object_set_array_member (arguments, "options", all);
  return qmp_execute (qmp, "blockdev-reopen", arguments, NULL, error);
}

static bool
reopen (Qmp *qmp, const char *node, bool writable, GError **error)
{
  g_autoptr (GError) refusal = NULL;

  if (reopen_kept (qmp, node, writable, &refusal))
    return true;
  if (is_unknown (refusal))
    return reopen_told (qmp, node, writable, error);
  g_propagate_error (error, g_steal_pointer (&refusal));
  return false;
}

static bool
try_all (Qmp *qmp, const GPtrArray *nodes, GError **error)
{
  g_clear_error (error);
  for (guint i = 0; i < nodes->len; i++)
    if (!reopen (qmp, g_ptr_array_index (nodes, i), false, error))
      return false;
  return true;
}

/* In the process beside us.  A QEMU that is gone has none open. */
static bool
end_at_last (void *opaque, GError **error)
{
  const Reopened *self = opaque;
  const gint64 until = g_get_monotonic_time () + TRIED_S * G_USEC_PER_SEC;

  while (!try_all (monitor_qmp_anew (self->monitor), self->nodes, error)) {
    if (g_get_monotonic_time () >= until || monitor_is_gone (self->monitor))
      return monitor_is_gone (self->monitor);
    g_usleep (PAUSE_MS * 1000);
  }
  return true;
}

bool
reopen_for_writing (Monitor *monitor, const GPtrArray *nodes,
                    Reopened **reopened, GError **error)
{
  Reopened *self = g_new0 (Reopened, 1);

  self->monitor = monitor;
  self->nodes = nodes;
  self->end = afterwards_new (end_at_last, self, monitor_fd (monitor), error);
  if (!self->end) {
    g_free (self);
    return false;
  }
  afterwards_arm (self->end);
  for (guint i = 0; i < nodes->len; i++)
    if (!reopen (monitor_qmp (monitor), g_ptr_array_index (nodes, i), true,
                 error)) {
      reopen_read_only (self, NULL);
      return false;
    }
  *reopened = self;
  return true;
}

bool
reopen_read_only (Reopened *self, GError **error)
{
  g_autoptr (GError) why = NULL;
  bool ok;

  if (!self)
    return true;
  ok = afterwards_do (self->end, WAIT_MS, &why);
  if (!ok)
    error_set (error, why->code, "QEMU has not opened all backing images "
               "read-only again, which is tried for ten minutes: until then, or "
               "until it ends, no other program can use them (%s)",
               why->message);
  g_free (self);
  return ok;
}
