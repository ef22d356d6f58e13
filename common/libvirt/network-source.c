/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * libvirt hands QEMU options one by one, of which a name can hold but a few.
 * What it cannot hold is a reason for none, unless it changes neither what is
 * read nor by whom: a disk must not be read otherwise than its guest does.
 * Sources: libvirt 9.0, src/qemu/qemu_block.c, qemuBlockStorageSourceGet…Props;
 * QEMU 7.2, the bdrv_parse_filename of block/nbd.c, ssh.c, iscsi.c, rbd.c.
 */
#include <config.h>

#include <stdbool.h>
#include <string.h>
#include <glib.h>

#include "base/xml-text.h"
#include "libvirt/network-source.h"

/* As libxml2, with which libvirt makes an URL (xmlSaveUri). */
#define KEPT_IN_URL "/;@&=+$,!*'()"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

typedef struct {
  const xmlNode *source;
  char *protocol;
  char *name;                   /* NULL: there is none */
  const xmlNode *host;          /* the first; NULL: there is none */
  guint hosts;
  char **unfollowed;
} Network;

typedef struct {
  const char *protocol;
  char *(*make) (const Network *network);
  const char *elements;         /* more that are heeded, between spaces */
  const char *attributes;
} Protocol;

static char * G_GNUC_PRINTF (2, 3)
refuse (const Network *network, const char *format, ...)
{
  va_list arguments;

  g_free (*network->unfollowed);
  va_start (arguments, format);
  *network->unfollowed = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  return NULL;
}

static bool
consists_of (const char *text, const char *characters)
{
  return *text && text[strspn (text, characters)] == '\0';
}

/* HOST[:PORT], or NULL.  libvirt takes port 0 for the default one. */
static char *
authority (const Network *network, const xmlNode *host)
{
  g_autofree char *name = xml_attribute (host, "name");
  g_autofree char *port = xml_attribute (host, "port");
  g_autofree char *transport = xml_attribute (host, "transport");
  const bool has_port = port && *port && strcmp (port, "0") != 0;

  if (transport && strcmp (transport, "tcp") != 0)
    return refuse (network, "its transport %s is not followed", transport);
  if (!name || !consists_of (name, LETTERS "-._:"))
    return refuse (network, "its host \"%s\" cannot be told in a name",
                   name ? name : "");
  if (has_port && !consists_of (port, "0123456789"))
    return refuse (network, "its port \"%s\" is not a number", port);
  const bool is_ipv6 = strchr (name, ':') != NULL;
  return g_strconcat (is_ipv6 ? "[" : "", name, is_ipv6 ? "]" : "",
                      has_port ? ":" : "", has_port ? port : "", NULL);
}

static char *
only_authority (const Network *network)
{
  if (network->hosts != 1)
    return refuse (network, "it has %u hosts, and only one is followed",
                   network->hosts);
  return authority (network, network->host);
}

static char *
nbd_name (const Network *network)
{
  g_autofree char *transport = xml_attribute (network->host, "transport");
  g_autofree char *socket = xml_attribute (network->host, "socket");
  g_autofree char *export
    = g_uri_escape_string (network->name ? network->name : "", KEPT_IN_URL,
                           FALSE);

  if (network->hosts == 1 && g_strcmp0 (transport, "unix") == 0) {
    if (!socket || *socket != '/')
      return refuse (network, "its socket is no absolute path");
    g_autofree char *path = g_uri_escape_string (socket, "/", FALSE);
    return g_strdup_printf ("nbd+unix:///%s?socket=%s", export, path);
  }
  g_autofree char *server = only_authority (network);
  return server ? g_strdup_printf ("nbd://%s/%s", server, export) : NULL;
}

/* libvirt puts the query in as it is. */
static char *
curl_name (const Network *network)
{
  g_autofree char *query = xml_attribute (network->source, "query");
  const bool has_query = query && *query;

  if (has_query && !consists_of (query, LETTERS "-._~!$&'()*+,;=:@/?%"))
    return refuse (network, "its query \"%s\" is not part of an URL", query);
  g_autofree char *server = only_authority (network);
  if (!server)
    return NULL;
  g_autofree char *path
    = g_uri_escape_string (network->name, KEPT_IN_URL, FALSE);
  return g_strconcat (network->protocol, "://", server,
                      *path == '/' ? "" : "/", path, has_query ? "?" : "",
                      has_query ? query : "", NULL);
}

/* A path that libvirt tells QEMU without a / begins in the user's folder, which
 * an URL cannot say.
 */
static char *
ssh_name (const Network *network)
{
  static const char *const untold[] = { "keyfile", "agentsock", NULL };
  const xmlNode *identity = xml_child (network->source, "identity");
  g_autofree char *user = xml_attribute (identity, "username");

  for (guint i = 0; untold[i]; i++) {
    g_autofree char *value = xml_attribute (identity, untold[i]);
    if (value)
      return refuse (network, "its <identity %s='…'/> is not followed",
                     untold[i]);
  }
  if (*network->name != '/')
    return refuse (network, "its path is not absolute, and what is below a "
                   "user's folder cannot be told in a name");
  g_autofree char *server = only_authority (network);
  if (!server)
    return NULL;
  g_autofree char *path
    = g_uri_escape_string (network->name, KEPT_IN_URL, FALSE);
  g_autofree char *name
    = user ? g_uri_escape_string (user, NULL, FALSE) : NULL;
  return g_strconcat ("ssh://", name ? name : "", name ? "@" : "", server,
                      path, NULL);
}

static char *
iscsi_name (const Network *network)
{
  g_auto (GStrv) parts = g_strsplit (network->name, "/", 2);
  const char *lun = parts[0] && parts[1] ? parts[1] : "0";

  if (!parts[0] || !consists_of (parts[0], LETTERS "-._:")
      || !consists_of (lun, "0123456789"))
    return refuse (network, "its target \"%s\" cannot be told in a name",
                   network->name);
  g_autofree char *server = only_authority (network);
  return server
    ? g_strdup_printf ("iscsi://%s/%s/%s", server, parts[0], lun) : NULL;
}

static void
append_rbd (GString *name, const char *text)
{
  for (const char *c = text; *c; c++) {
    if (strchr (":@/=;\\", *c))
      g_string_append_c (name, '\\');
    g_string_append_c (name, *c);
  }
}

/* False: one of them cannot be told.  A ; between them is escaped, too. */
static bool
append_monitors (GString *name, const Network *network)
{
  const char *before = ":mon_host=";

  for (const xmlNode *node = network->source->children; node;
       node = node->next) {
    if (!xml_is_element (node, "host"))
      continue;
    g_autofree char *server = authority (network, node);
    if (!server)
      return false;
    g_string_append (name, before);
    append_rbd (name, server);
    before = "\\;";
  }
  return true;
}

static char *
rbd_name (const Network *network)
{
  g_auto (GStrv) parts = g_strsplit (network->name, "/", 0);
  g_autofree char *snapshot
    = xml_attribute (xml_child (network->source, "snapshot"), "name");
  g_autofree char *conf
    = xml_attribute (xml_child (network->source, "config"), "file");
  g_autoptr (GString) name = g_string_new ("rbd:");

  if (g_strv_length (parts) != 2 || !*parts[0] || !*parts[1])
    return refuse (network, "its name \"%s\" is not POOL/IMAGE",
                   network->name);
  append_rbd (name, parts[0]);
  g_string_append_c (name, '/');
  append_rbd (name, parts[1]);
  if (snapshot && *snapshot) {
    g_string_append_c (name, '@');
    append_rbd (name, snapshot);
  }
  if (conf && *conf) {
    g_string_append (name, ":conf=");
    append_rbd (name, conf);
  }
  return append_monitors (name, network)
    ? g_string_free (g_steal_pointer (&name), FALSE) : NULL;
}

static const Protocol protocols[] = {
  { "nbd", nbd_name, "", "" },
  { "http", curl_name, "", " query " },
  { "https", curl_name, "", " query " },
  { "ftp", curl_name, "", "" },
  { "ftps", curl_name, "", "" },
  { "ssh", ssh_name, " identity ", "" },
  { "iscsi", iscsi_name, "", "" },
  { "rbd", rbd_name, " snapshot config ", "" },
};

static bool
is_among (const xmlChar *word, const char *some, const char *more)
{
  g_autofree char *spaced = g_strdup_printf (" %s ", (const char *) word);

  return strstr (some, spaced) || strstr (more, spaced);
}

/* Slices, encryption and a data file are not of networks only: guest-image.c
 * heeds them.
 */
static bool
is_all_heeded (const Network *network, const Protocol *protocol)
{
  static const char elements[]
    = " host reconnect readahead timeout reservations seclabel privateData "
      "slices encryption dataStore ";
  static const char attributes[] = " protocol name index startupPolicy ";

  for (const xmlAttr *attribute = network->source->properties; attribute;
       attribute = attribute->next) {
    g_autofree char *value
      = xml_attribute (network->source, (const char *) attribute->name);
    if (!is_among (attribute->name, attributes, protocol->attributes)
        && (strcmp ((const char *) attribute->name, "tls") != 0
            || g_strcmp0 (value, "no") != 0))
      return refuse (network, "its %s='%s' is not followed", attribute->name,
                     value ? value : "");
  }
  for (const xmlNode *node = network->source->children; node;
       node = node->next)
    if (node->type == XML_ELEMENT_NODE
        && !is_among (node->name, elements, protocol->elements))
      return refuse (network, "its <%s> is not followed", node->name);
  return true;
}

static char *
name_of (const Network *network)
{
  for (guint i = 0; i < G_N_ELEMENTS (protocols); i++) {
    const Protocol *protocol = &protocols[i];
    if (g_strcmp0 (network->protocol, protocol->protocol) != 0)
      continue;
    if (!network->name && strcmp (network->protocol, "nbd") != 0)
      return refuse (network, "it has no name");
    return is_all_heeded (network, protocol) ? protocol->make (network) : NULL;
  }
  return refuse (network, "its protocol %s is not followed",
                 network->protocol ? network->protocol : "\"\"");
}

char *
network_source_name (const xmlNode *source, char **unfollowed)
{
  g_autofree char *protocol = xml_attribute (source, "protocol");
  g_autofree char *name = xml_attribute (source, "name");
  Network network = { source, protocol, name, .unfollowed = unfollowed };

  for (const xmlNode *node = source->children; node; node = node->next)
    if (xml_is_element (node, "host")) {
      network.host = network.host ? network.host : node;
      network.hosts++;
    }
  return name_of (&network);
}

/* libvirt's virDomainDiskAddISCSIPoolSourceHost. */
char *
network_source_iscsi_volume (const xmlNode *pool_source, const char *volume,
                             char **unfollowed)
{
  static const char *const untold[] = { "auth", "initiator", NULL };
  g_auto (GStrv) unit = g_strsplit (volume, ":", 0);
  g_autofree char *target
    = xml_attribute (xml_child (pool_source, "device"), "path");
  g_autofree char *name = target && g_strv_length (unit) == 4
    ? g_strconcat (target, "/", unit[3], NULL) : g_strdup (volume);
  Network network = {
    pool_source, NULL, name, .unfollowed = unfollowed,
  };

  for (guint i = 0; untold[i]; i++)
    if (xml_child (pool_source, untold[i]))
      return refuse (&network, "its pool's <%s> is not followed", untold[i]);
  for (const xmlNode *node = pool_source->children; node; node = node->next)
    if (xml_is_element (node, "host")) {
      network.host = network.host ? network.host : node;
      network.hosts++;
    }
  return iscsi_name (&network);
}
