/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Names that lead to a server, read as QEMU reads them, or not at all.  Where
 * QEMU would ignore a part of the name, it is refused: whoever wrote it meant
 * something by it.  Sources, of QEMU 7.2 and, for the URIs, 10.0, which has
 * GLib's parser: block/nbd.c (nbd_parse_uri, nbd_parse_filename), block/curl.c,
 * block/ssh.c (parse_uri), block/iscsi.c (iscsi_parse_filename; it leaves the
 * URL to libiscsi's iscsi_parse_full_url).
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/printable.h"
#include "image/json-name.h"
#include "image/protocol-options.h"
#include "image/rbd-name.h"
#include "image/remote-name.h"

/* The words of a query, of which all must be known. */
static bool
add_query (GHashTable *options, const char *query, const char *known,
           const char *key, GError **error)
{
  GUriParamsIter iter;
  char *name, *value;
  g_autoptr (GError) malformed = NULL;
  bool ok = true;

  if (!query)
    return true;
  g_uri_params_iter_init (&iter, query, -1, "&;", G_URI_PARAMS_NONE);
  while (ok && g_uri_params_iter_next (&iter, &name, &value, &malformed)) {
    /* QEMU 9.1 to 10.0 decode %25 twice. */
    if (strchr (value, '%'))
      ok = error_set (error, ENOTSUP, "QEMU's versions differ on \"%%\" in %s",
                      name);
    else if (g_strcmp0 (name, known) != 0)
      ok = error_set (error, ENOTSUP, "\"%s\" after its \"?\" is not known",
                      name);
    else
      ok = flat_options_add (options, key, value, error);
    g_free (name);
    g_free (value);
  }
  return ok && (!malformed
                || error_set (error, EINVAL, "%s", malformed->message));
}

/* GLib decodes what is encoded, and takes the brackets off an IPv6 address. */
static GUri *
parse_uri (const char *name, GError **error)
{
  g_autoptr (GError) malformed = NULL;
  g_autoptr (GUri) uri = g_uri_parse (name, G_URI_FLAGS_ENCODED_QUERY,
                                      &malformed);

  if (!uri)
    return error_null (error, EINVAL, "%s", malformed->message);
  if (g_uri_get_fragment (uri))
    return error_null (error, ENOTSUP, "QEMU ignores what is after its \"#\"");
  return g_steal_pointer (&uri);
}

static bool
add_host (GHashTable *options, GUri *uri, GError **error)
{
  const char *host = g_uri_get_host (uri);
  g_autofree char *port = g_strdup_printf ("%d", g_uri_get_port (uri));

  if (!host || !*host)
    return error_set (error, EINVAL, "it names no host");
  return flat_options_add (options, "host", host, error)
    && (g_uri_get_port (uri) <= 0
        || flat_options_add (options, "port", port, error));
}

static bool
read_nbd_uri (const char *name, GHashTable *options, GError **error)
{
  g_autoptr (GUri) uri = parse_uri (name, error);

  if (!uri)
    return false;
  const char *path = g_uri_get_path (uri);
  const char *host = g_uri_get_host (uri);
  if (*path == '/')
    path++;
  if (g_uri_get_userinfo (uri))
    return error_set (error, ENOTSUP, "QEMU ignores the user in it");
  if (*path && !flat_options_add (options, "export", path, error))
    return false;
  if (!g_str_has_prefix (name, "nbd+unix:"))
    return add_query (options, g_uri_get_query (uri), NULL, "", error)
      && add_host (options, uri, error);
  if ((host && *host) || g_uri_get_port (uri) > 0)
    return error_set (error, EINVAL, "it names a host and a socket");
  return add_query (options, g_uri_get_query (uri), "socket", "path", error);
}

/* nbd:HOST:PORT and nbd:unix:PATH, with :exportname=EXPORT. */
static bool
read_nbd_old (const char *name, GHashTable *options, GError **error)
{
  static const char mark[] = ":exportname=";
  g_autofree char *place = g_strdup (name + strlen ("nbd:"));
  char *export = strstr (name, mark) ? strstr (place, mark) : NULL;

  if (export) {
    *export = '\0';
    export += strlen (mark);
    if (!*export)
      return error_set (error, EINVAL, "its exportname is empty");
    if (!flat_options_add (options, "export", export, error))
      return false;
  }
  if (g_str_has_prefix (place, "unix:"))
    return flat_options_add (options, "path", place + strlen ("unix:"), error);

  const char *host = *place == '[' ? place + 1 : place;
  char *end = *place == '[' ? strstr (place, "]:") : strchr (place, ':');
  const char *port = end ? end + (*end == ']' ? 2 : 1) : "";
  if (!*port || strchr (port, ':') || end == host)
    return error_set (error, EINVAL, "it is not nbd:HOST:PORT");
  if (strchr (port, ','))
    return error_set (error, ENOTSUP, "QEMU ignores what is after its \",\"");
  *end = '\0';
  return flat_options_add (options, "host", host, error)
    && flat_options_add (options, "port", port, error);
}

static bool
read_nbd (const char *name, GHashTable *options, GError **error)
{
  return strstr (name, "://") ? read_nbd_uri (name, options, error)
    : g_str_has_prefix (name, "nbd:") ? read_nbd_old (name, options, error)
    : error_set (error, EINVAL, "it has no \"://\"");
}

static bool
read_url (const char *name, GHashTable *options, GError **error)
{
  return flat_options_add (options, "url", name, error);
}

static bool
read_ssh (const char *name, GHashTable *options, GError **error)
{
  g_autoptr (GUri) uri = parse_uri (name, error);

  if (!uri)
    return false;
  const char *user = g_uri_get_userinfo (uri);
  if (user && strchr (user, ':'))
    return error_set (error, ENOTSUP, "QEMU takes no password for ssh");
  return (!user || !*user || flat_options_add (options, "user", user, error))
    && add_host (options, uri, error)
    && flat_options_add (options, "path", g_uri_get_path (uri), error)
    && add_query (options, g_uri_get_query (uri), "host_key_check",
                  "host_key_check", error);
}

static bool
read_iscsi (const char *name, GHashTable *options, GError **error)
{
  const char *rest = name + strlen ("iscsi:");
  g_auto (GStrv) words = NULL;

  if (!g_str_has_prefix (rest, "//"))
    return error_set (error, EINVAL, "it has no \"://\"");
  if (strpbrk (rest, "@"))
    return error_set (error, ENOTSUP, "QEMU takes no user and password from it "
                      "but as an object");
  if (strpbrk (rest, "%?#"))
    return error_set (error, ENOTSUP, "libiscsi's versions differ on \"%%\", "
                      "\"?\" and \"#\"");
  words = g_strsplit (rest + 2, "/", -1);
  if (g_strv_length (words) != 3 || !*words[0] || !*words[1] || !*words[2])
    return error_set (error, EINVAL, "it is not iscsi://HOST/TARGET/LUN");
  return flat_options_add (options, "transport", "tcp", error)
    && flat_options_add (options, "portal", words[0], error)
    && flat_options_add (options, "target", words[1], error)
    && flat_options_add (options, "lun", words[2], error);
}

typedef bool (*Reader) (const char *name, GHashTable *options, GError **error);

/* QEMU compares them so, too: with all letters as they are. */
static const struct {
  const char *protocol, *driver;
  Reader reader;
} readers[] = {
  { "nbd", "nbd", read_nbd },
  { "nbd+tcp", "nbd", read_nbd },
  { "nbd+unix", "nbd", read_nbd },
  { "http", "http", read_url },
  { "https", "https", read_url },
  { "ftp", "ftp", read_url },
  { "ftps", "ftps", read_url },
  { "ssh", "ssh", read_ssh },
  { "rbd", "rbd", rbd_name_read },
  { "iscsi", "iscsi", read_iscsi },
};

/* QEMU 7.2 block.c, path_has_protocol. */
static bool
has_protocol (const char *name)
{
  return name[strcspn (name, ":/")] == ':';
}

bool
remote_name_is (const char *name)
{
  if (!json_name_is (name))
    return has_protocol (name) && !g_str_has_prefix (name, "file:");
  g_autofree char *path = json_name_local (name, NULL, NULL);
  return path == NULL;
}

static JsonObject *
make_options (const char *name, char **format, GError **error)
{
  g_autoptr (GHashTable) options = NULL;
  g_autofree char *driver = NULL;
  const gsize length = strcspn (name, ":/");

  if (!g_utf8_validate (name, -1, NULL))
    return error_null (error, ENOTSUP, "it is not UTF-8");
  if (!has_protocol (name))
    return error_null (error, EINVAL, "it has no protocol");
  if (json_name_is (name)) {
    options = json_name_read (name, &driver, format, error);
    if (!options)
      return NULL;
    if (protocol_is_known (driver))
      return protocol_options_make (driver, options, error);
  }
  else
    for (guint i = 0; i < G_N_ELEMENTS (readers); i++)
      if (strlen (readers[i].protocol) == length
          && strncmp (readers[i].protocol, name, length) == 0) {
        options = flat_options_new ();
        return readers[i].reader (name, options, error)
          ? protocol_options_make (readers[i].driver, options, error) : NULL;
      }
  return error_null (error, ENOTSUP, "the protocol %.*s is not supported",
                     driver ? (int) strlen (driver) : (int) length,
                     driver ? driver : name);
}

JsonObject *
remote_name_options (const char *name, char **format, GError **error)
{
  g_autofree char *told = NULL;
  g_autofree char *prefix = printable_format ("\"%s\" is not read: ", name);
  JsonObject *made = make_options (name, &told, error);

  if (!made)
    g_prefix_error (error, "%s", prefix);
  if (format)
    *format = made ? g_steal_pointer (&told) : NULL;
  return made;
}

/* Harmless: QEMU is told another, or none. */
static const char *const file_ignored[] = { "aio", NULL };

static char *
take_path (const char *driver, GHashTable *options, GError **error)
{
  g_autofree char *path = g_strdup (g_hash_table_lookup (options, "filename"));
  GHashTableIter iter;
  gpointer key;

  if (strcmp (driver, "file") != 0 && strcmp (driver, "host_device") != 0)
    return error_null (error, ENOTSUP, "the driver %s is not supported",
                       driver);
  if (!path || !*path)
    return error_null (error, EINVAL, "it has no filename");
  g_hash_table_iter_init (&iter, options);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    if (strcmp (key, "filename") != 0
        && !g_strv_contains (file_ignored, key))
      return error_null (error, ENOTSUP, "\"%s\" is not supported",
                         (const char *) key);
  return g_steal_pointer (&path);
}

char *
json_name_local (const char *name, char **format, GError **error)
{
  g_autofree char *driver = NULL, *told = NULL, *path = NULL;
  g_autofree char *prefix = printable_format ("\"%s\" is not read: ", name);
  g_autoptr (GHashTable) options = NULL;

  if (format)
    *format = NULL;
  if (!json_name_is (name))
    return NULL;
  options = json_name_read (name, &driver, &told, error);
  if (options && protocol_is_known (driver))
    return NULL;
  path = options ? take_path (driver, options, error) : NULL;
  if (!path)
    g_prefix_error (error, "%s", prefix);
  else if (format)
    *format = g_steal_pointer (&told);
  return g_steal_pointer (&path);
}
