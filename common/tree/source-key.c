/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Make a text of a disk's <source>.
 */
#include <config.h>

#include <stdbool.h>
#include <string.h>
#include <glib.h>

#include "base/xml-text.h"
#include "tree/source-key.h"

/* A running guest's definition has the port also where a stopped one's leaves
 * it out (libvirt's src/conf/storage_source_conf.c,
 * virStorageSourceNetworkDefaultPort).
 */
static bool
is_default_port (const char *protocol, const char *port)
{
  static const char *const defaults[] = {
    "http:80", "https:443", "ftp:21", "ftps:990", "tftp:69", "sheepdog:7000",
    "nbd:10809", "ssh:22", "iscsi:3260", "gluster:24007", "nfs:2049", NULL
  };
  g_autofree char *both = g_strconcat (protocol ? protocol : "", ":", port,
                                       NULL);

  return g_strv_contains (defaults, both);
}

static void
append (GString *key, const xmlNode *node, const char *before,
        const char *attribute)
{
  g_autofree char *value = xml_attribute (node, attribute);

  if (value && *value)
    g_string_append_printf (key, "%s%s", before, value);
}

static void
append_host (GString *key, const xmlNode *host, const char *protocol)
{
  g_autofree char *port = xml_attribute (host, "port");

  append (key, host, " at ", "name");
  append (key, host, " at ", "socket");
  if (port && *port && !is_default_port (protocol, port))
    g_string_append_printf (key, ":%s", port);
}

/* A source of an unknown kind has its kind, at least. */
static char *
remote_key (const xmlNode *source, const char *type)
{
  g_autofree char *protocol = xml_attribute (source, "protocol");
  GString *key = g_string_new (protocol && *protocol ? protocol : type);

  append (key, source, " ", "pool");
  append (key, source, "/", "volume");
  append (key, source, " ", "name");
  append (key, source, " ", "dev");
  append (key, source, " ", "path");
  append (key, source, " namespace ", "namespace");
  for (const xmlNode *node = source->children; node; node = node->next) {
    if (xml_is_element (node, "host"))
      append_host (key, node, protocol);
    else if (xml_is_element (node, "snapshot"))
      append (key, node, "@", "name");
    else if (xml_is_element (node, "address")) {
      append (key, node, " ", "domain");
      append (key, node, ":", "bus");
      append (key, node, ":", "slot");
      append (key, node, ".", "function");
    }
  }
  return g_string_free (key, FALSE);
}

char *
source_key (const xmlNode *disk)
{
  static const struct { const char *type, *attribute; } local[] = {
    { "file", "file" }, { "block", "dev" }, { "dir", "dir" },
  };
  const xmlNode *source = xml_child (disk, "source");
  g_autofree char *type = xml_attribute (disk, "type");

  if (!source)
    return NULL;
  for (guint i = 0; i < G_N_ELEMENTS (local); i++) {
    if (strcmp (type ? type : "file", local[i].type) != 0)
      continue;
    g_autofree char *path = xml_attribute (source, local[i].attribute);
    return path && *path ? g_steal_pointer (&path) : NULL;
  }
  return remote_key (source, type);
}
