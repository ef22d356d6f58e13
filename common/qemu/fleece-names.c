/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Our names in a QEMU, and what is typed to end what bears them.
 */
#include <config.h>

#include <string.h>

#include "base/error.h"
#include "qemu/fleece-kept.h"

/* QEMU allows nodes' names 31 bytes (block.c, bdrv_assign_node_name). */
#define NODE_PREFIX "nbdkit-"

char *
fleece_node_name (const char *mark, guint disk, char kind)
{
  return g_strdup_printf (NODE_PREFIX "%s-%u%c", mark + strlen (OWN_PREFIX),
                          disk, kind);
}

char *
fleece_id (const char *mark, const char *target)
{
  return g_strdup_printf ("%s-%s", mark, target);
}

/* Nodes for bitmaps are counted over all disks, since names must be short. */
static guint
bits_before (const Fleece *fleece, guint disk, guint part)
{
  guint count = 0;

  for (guint i = 0; i <= disk; i++) {
    const FleeceDisk *at = g_ptr_array_index (fleece->disks, i);
    for (guint j = 0; j < (i < disk ? at->parts->len : part); j++)
      count += !((const FleecePart *) g_ptr_array_index (at->parts, j))->node;
  }
  return count;
}

char *
fleece_part_node (const Fleece *fleece, guint disk, guint part)
{
  const FleeceDisk *of = g_ptr_array_index (fleece->disks, disk);
  const FleecePart *one = g_ptr_array_index (of->parts, part);

  return one->node ? g_strdup (one->node)
    : fleece_node_name (fleece->mark, bits_before (fleece, disk, part),
                        FLEECE_NODE_BITS);
}

/* No target begins with a digit. */
char *
fleece_part_id (const char *mark, guint disk, guint part)
{
  g_autofree char *number = g_strdup_printf ("%u.%u", disk, part);

  return fleece_id (mark, number);
}

/* The mark, whose digits begin there and end at a dash. */
static char *
mark_of (const char *digits)
{
  const char *dash = strchr (digits, '-');
  g_autofree char *mark = dash
    ? g_strdup_printf (OWN_PREFIX "%.*s", (int) (dash - digits), digits)
    : NULL;

  return mark && own_folder_is_name (mark) ? g_steal_pointer (&mark) : NULL;
}

char *
fleece_mark_of_id (const char *id)
{
  return g_str_has_prefix (id, OWN_PREFIX)
    ? mark_of (id + strlen (OWN_PREFIX)) : NULL;
}

char *
fleece_mark_of_node (const char *node)
{
  return g_str_has_prefix (node, NODE_PREFIX)
    ? mark_of (node + strlen (NODE_PREFIX)) : NULL;
}

/* QEMU reads on while it is at work on a command, so a pause lets that end. */
char *
fleece_by_hand (const char *path, const GPtrArray *commands)
{
  g_autofree char *address = g_strconcat ("UNIX-CONNECT:", path, NULL);
  g_autofree char *quoted = error_shell_word (address);
  GString *text
    = g_string_new ("{ echo '{\"execute\": \"qmp_capabilities\"}'; ");

  for (guint i = 0; i < commands->len; i++) {
    const char *command = g_ptr_array_index (commands, i);
    g_autofree char *word = error_shell_word (command);
    g_string_append_printf (text, *command ? "echo %s; " : "sleep 1; ", word);
  }
  g_string_append_printf (text, "sleep 1; } | socat - %s", quoted);
  return g_string_free (text, FALSE);
}

static void
add_command (GPtrArray *commands, const char *command, const char *name,
             const char *value)
{
  g_ptr_array_add (commands, g_strdup_printf (
    "{\"execute\": \"%s\", \"arguments\": {\"%s\": \"%s\"}}", command, name,
    value));
}

/* QEMU may answer before it has let go of the clients.  Why exports go one after
 * another, and before the server: stop_export in fleece-owner.c.
 */
static void
add_export (GPtrArray *commands, const char *id)
{
  g_ptr_array_add (commands, g_strdup_printf (
    "{\"execute\": \"block-export-del\", \"arguments\": "
    "{\"id\": \"%s\", \"mode\": \"hard\"}}", id));
  g_ptr_array_add (commands, g_strdup (""));
}

char *
fleece_end_names_by_hand (const char *path, const GPtrArray *jobs,
                          const GPtrArray *exports, bool stops_server,
                          const GPtrArray *nodes)
{
  g_autoptr (GPtrArray) commands = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < jobs->len; i++)
    add_command (commands, "job-cancel", "id", g_ptr_array_index (jobs, i));
  if (jobs->len > 0)
    g_ptr_array_add (commands, g_strdup (""));
  for (guint i = 0; i < exports->len; i++)
    add_export (commands, g_ptr_array_index (exports, i));
  if (stops_server) {
    g_ptr_array_add (commands,
                     g_strdup ("{\"execute\": \"nbd-server-stop\"}"));
    g_ptr_array_add (commands, g_strdup (""));
  }
  for (guint i = 0; i < nodes->len; i++)
    add_command (commands, "blockdev-del", "node-name",
                 g_ptr_array_index (nodes, i));
  return fleece_by_hand (path, commands);
}

char *
fleece_end_by_hand (const char *path, const Fleece *fleece)
{
  static const char kinds[] = { FLEECE_NODE_IMAGE, FLEECE_NODE_FILE };
  g_autoptr (GPtrArray) jobs = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) exports = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) nodes = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < fleece->disks->len; i++) {
    const FleeceDisk *disk = g_ptr_array_index (fleece->disks, i);
    g_ptr_array_add (jobs, fleece_id (fleece->mark, disk->target));
    g_ptr_array_add (exports, fleece_id (fleece->mark, disk->target));
    for (guint j = 0; j < disk->parts->len; j++)
      g_ptr_array_add (exports, fleece_part_id (fleece->mark, i, j));
    for (guint j = 0; j < G_N_ELEMENTS (kinds); j++)
      g_ptr_array_add (nodes, fleece_node_name (fleece->mark, i, kinds[j]));
    for (guint j = 0; j < disk->parts->len; j++)
      if (!((const FleecePart *) g_ptr_array_index (disk->parts, j))->node)
        g_ptr_array_add (nodes, fleece_part_node (fleece, i, j));
  }
  return fleece_end_names_by_hand (path, jobs, exports, true, nodes);
}
