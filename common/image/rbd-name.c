/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Names of Ceph's images: rbd:POOL/[NAMESPACE/]IMAGE[@SNAPSHOT][:KEY=VALUE…],
 * where a backslash takes its meaning from what follows.  Source: QEMU 7.2 to
 * 10.0, block/rbd.c, qemu_rbd_parse_filename.  QEMU hands other keys on to
 * librados, but only those of a name: blockdev-add has some of them.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "image/protocol-options.h"
#include "image/rbd-name.h"

/* Cut *word, what is before the first delimiter that is not escaped, off *rest.
 * False if there is none: *word is all of it then, and nothing is cut.
 */
static bool
cut (char **rest, char delimiter, char **word)
{
  *word = *rest;
  for (char *at = *rest; *at; at++) {
    if (*at == delimiter) {
      *at = '\0';
      *rest = at + 1;
      return true;
    }
    if (*at == '\\' && at[1])
      at++;
  }
  return false;
}

static char *
unescape (char *text)
{
  char *to = text;

  for (const char *from = text; *from; from++) {
    if (*from == '\\' && from[1])
      from++;
    *to++ = *from;
  }
  *to = '\0';
  return text;
}

/* Ceph's HOST[:PORT], as it was before messenger 2. */
static bool
add_monitor (GHashTable *options, guint number, char *monitor, GError **error)
{
  g_autofree char *host_key = g_strdup_printf ("server.%u.host", number);
  g_autofree char *port_key = g_strdup_printf ("server.%u.port", number);
  char *end = *monitor == '[' ? strchr (monitor, ']') : strchr (monitor, ':');
  const char *host = *monitor == '[' ? monitor + 1 : monitor;
  const char *port = "6789";

  if (end && *end == ']')
    *end++ = '\0';
  if (end && *end == ':') {
    *end++ = '\0';
    port = end;
  }
  else if (end && *end)
    port = "";
  if (!*host || strlen (port) == 0
      || strspn (port, "0123456789") != strlen (port)
      || strchr (host, '/') || g_str_has_prefix (host, "v1:")
      || g_str_has_prefix (host, "v2:") || (*monitor == '[' && !end))
    return error_set (error, ENOTSUP, "\"%s\" in its mon_host is not HOST:PORT",
                      host);
  return flat_options_add (options, host_key, host, error)
    && flat_options_add (options, port_key, port, error);
}

static bool
add_monitors (GHashTable *options, const char *value, GError **error)
{
  g_auto (GStrv) monitors = g_strsplit_set (value, ";, \t", -1);
  guint count = 0;

  for (guint i = 0; monitors[i]; i++)
    if (*monitors[i] && !add_monitor (options, count++, monitors[i], error))
      return false;
  return count > 0 || error_set (error, EINVAL, "its mon_host is empty");
}

static bool
add_ways_in (GHashTable *options, const char *value, GError **error)
{
  g_auto (GStrv) ways = g_strsplit_set (value, ";, \t", -1);
  guint count = 0;

  for (guint i = 0; ways[i]; i++) {
    g_autofree char *key = g_strdup_printf ("auth-client-required.%u", count);

    if (!*ways[i])
      continue;
    if (strcmp (ways[i], "cephx") != 0 && strcmp (ways[i], "none") != 0)
      return error_set (error, ENOTSUP, "\"%s\" is neither cephx nor none",
                        ways[i]);
    if (!flat_options_add (options, key, ways[i], error))
      return false;
    count++;
  }
  return true;
}

static bool
add_rbd_pair (GHashTable *options, const char *key, const char *value,
              GError **error)
{
  if (strcmp (key, "conf") == 0)
    return flat_options_add (options, "conf", value, error);
  if (strcmp (key, "id") == 0)
    return flat_options_add (options, "user", value, error);
  if (strcmp (key, "mon_host") == 0)
    return add_monitors (options, value, error);
  if (strcmp (key, "auth_supported") == 0
      || strcmp (key, "auth_client_required") == 0)
    return add_ways_in (options, value, error);
  return error_set (error, ENOTSUP, "\"%s\" of rbd is not supported", key);
}

/* QEMU looks for the "@" in all that follows the pool. */
bool
rbd_name_read (const char *name, GHashTable *options, GError **error)
{
  g_autofree char *copy = g_strdup (name + strlen ("rbd:"));
  char *rest = copy, *pool, *image, *word, *key;

  if (!cut (&rest, '/', &pool))
    return error_set (error, EINVAL, "it is not rbd:POOL/IMAGE");
  const bool is_snapshot = cut (&rest, '@', &image);
  bool more = cut (&rest, ':', is_snapshot ? &word : &image);
  if (is_snapshot
      && !flat_options_add (options, "snapshot", unescape (word), error))
    return false;
  if (cut (&image, '/', &word)
      && !flat_options_add (options, "namespace", unescape (word), error))
    return false;
  if (!flat_options_add (options, "pool", unescape (pool), error)
      || !flat_options_add (options, "image", unescape (image), error))
    return false;
  while (more) {
    if (!cut (&rest, '=', &key))
      return error_set (error, EINVAL, "\"%s\" has no value", key);
    more = cut (&rest, ':', &word);
    if (!add_rbd_pair (options, unescape (key), unescape (word), error))
      return false;
  }
  return true;
}
