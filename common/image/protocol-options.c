/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The options of QEMU's network protocols.  Source: QEMU 7.2 and 10.0,
 * qapi/block-core.json and qapi/sockets.json; the old words: 7.2 block/nbd.c,
 * nbd_process_legacy_socket_options, and block/ssh.c, ssh_process_legacy_options.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "image/protocol-options.h"

typedef enum { TEXT, NEEDED, NUMBER, SWITCH, LEFT_OUT } Kind;

typedef struct {
  const char *key;              /* '#': 0, 1, … of a list */
  Kind kind;
} Option;

/* What is left out is about patience.  QEMU shall not wait for a server to come
 * back: that might hold other bytes by then.  Not here, so refused:
 * x-dirty-bitmap, which is no allocation; secrets and credentials, which are
 * objects of another QEMU.
 */
static const Option nbd_options[] = {
  { "server.type", NEEDED },
  { "server.host", TEXT },
  { "server.port", TEXT },
  { "server.path", TEXT },
  { "server.ipv4", SWITCH },
  { "server.ipv6", SWITCH },
  { "server.keep-alive", SWITCH },
  { "export", TEXT },
  { "reconnect-delay", LEFT_OUT },
  { "open-timeout", LEFT_OUT },
  { NULL, TEXT }
};

static const Option url_options[] = {
  { "url", NEEDED },
  { "username", TEXT },
  { "readahead", NUMBER },
  { "timeout", NUMBER },
  { NULL, TEXT }
};

static const Option http_options[] = {
  { "url", NEEDED },
  { "username", TEXT },
  { "cookie", TEXT },
  { "readahead", NUMBER },
  { "timeout", NUMBER },
  { NULL, TEXT }
};

static const Option https_options[] = {
  { "url", NEEDED },
  { "username", TEXT },
  { "cookie", TEXT },
  { "sslverify", SWITCH },
  { "readahead", NUMBER },
  { "timeout", NUMBER },
  { NULL, TEXT }
};

static const Option ftps_options[] = {
  { "url", NEEDED },
  { "username", TEXT },
  { "sslverify", SWITCH },
  { "readahead", NUMBER },
  { "timeout", NUMBER },
  { NULL, TEXT }
};

static const Option ssh_options[] = {
  { "server.host", NEEDED },
  { "server.port", NEEDED },
  { "server.ipv4", SWITCH },
  { "server.ipv6", SWITCH },
  { "path", NEEDED },
  { "user", TEXT },
  { "host-key-check.mode", TEXT },
  { "host-key-check.type", TEXT },
  { "host-key-check.hash", TEXT },
  { NULL, TEXT }
};

static const Option rbd_options[] = {
  { "pool", NEEDED },
  { "namespace", TEXT },
  { "image", NEEDED },
  { "snapshot", TEXT },
  { "conf", TEXT },
  { "user", TEXT },
  { "auth-client-required.#", TEXT },
  { "server.#.host", TEXT },
  { "server.#.port", TEXT },
  { NULL, TEXT }
};

static const Option iscsi_options[] = {
  { "transport", NEEDED },
  { "portal", NEEDED },
  { "target", NEEDED },
  { "lun", NUMBER },
  { "initiator-name", TEXT },
  { "header-digest", TEXT },
  { "timeout", NUMBER },
  { NULL, TEXT }
};

static const struct {
  const char *driver;
  const Option *options;
} protocols[] = {
  { "nbd", nbd_options },
  { "http", http_options },
  { "https", https_options },
  { "ftp", url_options },
  { "ftps", ftps_options },
  { "ssh", ssh_options },
  { "rbd", rbd_options },
  { "iscsi", iscsi_options },
};

static const Option *
options_of (const char *driver)
{
  for (guint i = 0; i < G_N_ELEMENTS (protocols); i++)
    if (strcmp (protocols[i].driver, driver) == 0)
      return protocols[i].options;
  return NULL;
}

bool
protocol_is_known (const char *driver)
{
  return options_of (driver) != NULL;
}

GHashTable *
flat_options_new (void)
{
  return g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
}

bool
flat_options_add (GHashTable *options, const char *key, const char *value,
                  GError **error)
{
  if (g_hash_table_contains (options, key))
    return error_set (error, EINVAL, "\"%s\" is said twice", key);
  g_hash_table_insert (options, g_strdup (key), g_strdup (value));
  return true;
}

/* The value, which goes over to the caller, or NULL. */
static char *
take (GHashTable *options, const char *key)
{
  g_autofree char *taken = NULL;
  char *value = NULL;

  g_hash_table_steal_extended (options, key, (gpointer *) &taken,
                               (gpointer *) &value);
  return value;
}

/* An old word for a new one.  NULL as a value: nothing. */
static bool
rename_option (GHashTable *options, const char *old, const char *key,
               GError **error)
{
  g_autofree char *value = take (options, old);

  return !value || flat_options_add (options, key, value, error);
}

static bool
adapt_address (GHashTable *options, const char *default_port, GError **error)
{
  if (!rename_option (options, "host", "server.host", error)
      || !rename_option (options, "port", "server.port", error))
    return false;
  return !g_hash_table_contains (options, "server.host")
    || g_hash_table_contains (options, "server.port")
    || flat_options_add (options, "server.port", default_port, error);
}

/* Without a type, QEMU knows it by the old words. */
static bool
adapt_nbd (GHashTable *options, GError **error)
{
  const bool is_path = g_hash_table_contains (options, "path");
  const bool is_host = g_hash_table_contains (options, "host");

  if ((is_path || is_host)
      && !flat_options_add (options, "server.type", is_path ? "unix" : "inet",
                            error))
    return false;
  if (!rename_option (options, "path", "server.path", error)
      || !adapt_address (options, "10809", error))
    return false;

  const char *type = g_hash_table_lookup (options, "server.type");
  const char *host = g_hash_table_lookup (options, "server.host");
  const char *path = g_hash_table_lookup (options, "server.path");
  if (g_strcmp0 (type, "unix") == 0 && path && !host)
    return *path == '/'
      || error_set (error, *path ? ENOTSUP : EINVAL,
                    "the socket's path \"%s\" is not absolute", path);
  if (g_strcmp0 (type, "inet") == 0 && host && *host && !path)
    return true;
  return error_set (error, !type || strcmp (type, "unix") == 0
                    || strcmp (type, "inet") == 0 ? EINVAL : ENOTSUP,
                    "it has neither host and port nor the path of a socket");
}

static bool
adapt_ssh (GHashTable *options, GError **error)
{
  static const char *const hashes[] = { "md5", "sha1", "sha256" };
  g_autofree char *check = take (options, "host_key_check");

  if (!adapt_address (options, "22", error))
    return false;
  if (!check)
    return true;
  if (strcmp (check, "no") == 0)
    return flat_options_add (options, "host-key-check.mode", "none", error);
  if (strcmp (check, "yes") == 0)
    return flat_options_add (options, "host-key-check.mode", "known_hosts",
                             error);
  for (guint i = 0; i < G_N_ELEMENTS (hashes); i++) {
    const gsize length = strlen (hashes[i]);
    if (strncmp (check, hashes[i], length) == 0 && check[length] == ':')
      return flat_options_add (options, "host-key-check.mode", "hash", error)
        && flat_options_add (options, "host-key-check.type", hashes[i], error)
        && flat_options_add (options, "host-key-check.hash",
                             check + length + 1, error);
  }
  return error_set (error, EINVAL, "\"%s\" is no host_key_check", check);
}

/* An https driver that is given "file:///…" would read a file, if its libcurl
 * was built so; QEMU looks at this, too (7.2 block/curl.c, curl_open). */
static bool
adapt_url (const char *driver, GHashTable *options, GError **error)
{
  const char *url = g_hash_table_lookup (options, "url");
  const gsize length = strlen (driver);

  if (url && strncmp (url, driver, length) == 0
      && g_str_has_prefix (url + length, "://")
      && url[length + 3] != '/' && url[length + 3] != '\0')
    return true;
  return error_set (error, EINVAL, "it has no URL that begins with %s:// and a "
                    "host", driver);
}

static bool
adapt_rbd (GHashTable *options, GError **error)
{
  const char *conf = g_hash_table_lookup (options, "conf");

  return !conf || *conf == '/'
    || error_set (error, ENOTSUP, "the path \"%s\" of Ceph's configuration is "
                  "not absolute", conf);
}

static bool
adapt (const char *driver, GHashTable *options, GError **error)
{
  if (strcmp (driver, "nbd") == 0)
    return adapt_nbd (options, error);
  if (strcmp (driver, "ssh") == 0)
    return adapt_ssh (options, error);
  if (strcmp (driver, "rbd") == 0)
    return adapt_rbd (options, error);
  if (strcmp (driver, "iscsi") == 0)
    return true;
  return adapt_url (driver, options, error);
}

/* As QEMU reads them where all is text: qobject_input_visitor_new_keyval. */
static JsonNode *
make_value (const char *key, const char *value, Kind kind, GError **error)
{
  JsonNode *node = json_node_alloc ();
  gint64 number;

  if (kind == TEXT || (kind == NEEDED && *value))
    return json_node_init_string (node, value);
  if (kind == NUMBER
      && g_ascii_string_to_signed (value, 10, 0, G_MAXINT32, &number, NULL))
    return json_node_init_int (node, number);
  if (kind == SWITCH && (strcmp (value, "on") == 0
                         || strcmp (value, "off") == 0))
    return json_node_init_boolean (node, strcmp (value, "on") == 0);
  json_node_unref (node);
  return error_null (error, EINVAL, "\"%s\" can not be \"%s\"", key, value);
}

/* The member of an object, or the next element of an array. */
static JsonObject *
object_in (JsonObject *object, const char *key, const char *index)
{
  JsonObject *made;

  if (!index) {
    if (!json_object_has_member (object, key))
      json_object_set_object_member (object, key, json_object_new ());
    return json_object_get_object_member (object, key);
  }
  if (!json_object_has_member (object, key))
    json_object_set_array_member (object, key, json_array_new ());
  JsonArray *array = json_object_get_array_member (object, key);
  const guint number = (guint) strtoul (index, NULL, 10);
  if (number < json_array_get_length (array))
    return json_array_get_object_element (array, number);
  made = json_object_new ();
  json_array_add_object_element (array, made);
  return made;
}

/* Enter the value, which it takes, at KEY, KEY.KEY, KEY.0 or KEY.0.KEY. */
static void
enter (JsonObject *object, const char *dotted, JsonNode *value)
{
  g_auto (GStrv) words = g_strsplit (dotted, ".", -1);
  const guint count = g_strv_length (words);
  const bool is_list = count > 1 && g_ascii_isdigit (*words[1]);

  if (count == 1)
    json_object_set_member (object, words[0], value);
  else if (!is_list)
    json_object_set_member (object_in (object, words[0], NULL), words[1],
                            value);
  else if (count > 2)
    json_object_set_member (object_in (object, words[0], words[1]), words[2],
                            value);
  else {
    if (!json_object_has_member (object, words[0]))
      json_object_set_array_member (object, words[0], json_array_new ());
    json_array_add_element (json_object_get_array_member (object, words[0]),
                            value);
  }
}

/* Enter what there is of this option; *missing: there was none. */
static bool
enter_one (JsonObject *object, GHashTable *options, const char *key, Kind kind,
           bool *missing, GError **error)
{
  g_autofree char *value = take (options, key);

  *missing = !value;
  if (!value)
    return kind != NEEDED || error_set (error, EINVAL, "it has no %s", key);
  if (kind == LEFT_OUT)
    return true;
  JsonNode *node = make_value (key, value, kind, error);
  if (!node)
    return false;
  enter (object, key, node);
  return true;
}

static bool
enter_option (JsonObject *object, GHashTable *options, const Option *option,
              GError **error)
{
  const char *mark = strchr (option->key, '#');
  bool missing = false;

  if (!mark)
    return enter_one (object, options, option->key, option->kind, &missing,
                      error);
  for (guint i = 0; !missing; i++) {
    g_autofree char *key = g_strdup_printf ("%.*s%u%s",
                                            (int) (mark - option->key),
                                            option->key, i, mark + 1);
    if (!enter_one (object, options, key, option->kind, &missing, error))
      return false;
  }
  return true;
}

JsonObject *
protocol_options_make (const char *driver, GHashTable *options, GError **error)
{
  g_autoptr (JsonObject) object = json_object_new ();
  GHashTableIter iter;
  gpointer key;

  if (!adapt (driver, options, error))
    return NULL;
  json_object_set_string_member (object, "driver", driver);
  for (const Option *option = options_of (driver); option->key; option++)
    if (!enter_option (object, options, option, error))
      return NULL;
  g_hash_table_iter_init (&iter, options);
  if (g_hash_table_iter_next (&iter, &key, NULL))
    return error_null (error, ENOTSUP, "\"%s\" of %s is not supported",
                       (const char *) key, driver);
  return g_steal_pointer (&object);
}
