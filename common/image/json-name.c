/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * QEMU flattens the object of a json: name, so {"file": {"driver": "nbd"}} and
 * {"file.driver": "nbd"} are the same (QEMU 7.2 block.c, parse_json_filename,
 * and qobject/block-qdict.c, qdict_flatten); and it turns all values into text
 * before a driver sees them.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/json-text.h"
#include "image/json-name.h"
#include "image/protocol-options.h"

#define PREFIX "json:"
#define FILE_PREFIX "file."

/* In bytes; the longest known has 30. */
#define KEY_MOST 256

static const char *const formats[] = {
  "raw", "qcow2", "qcow", "qed", "vmdk", "vdi", "vpc", "vhdx", "parallels",
  "bochs", "cloop", "dmg", "luks", NULL
};

/* Of any node: about how it is opened, not about what is read. */
static const char *const ignored[] = {
  "node-name", "read-only", "auto-read-only", "discard", "detect-zeroes",
  "cache", "cache.direct", "cache.no-flush", NULL
};

bool
json_name_is (const char *name)
{
  return g_str_has_prefix (name, PREFIX);
}

static bool add_node (GHashTable *options, const char *key, JsonNode *node,
                      GError **error);

static char *
scalar_text (JsonNode *node)
{
  const GType type = json_node_get_value_type (node);
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];

  if (type == G_TYPE_STRING)
    return g_strdup (json_node_get_string (node));
  if (type == G_TYPE_BOOLEAN)
    return g_strdup (json_node_get_boolean (node) ? "on" : "off");
  if (type == G_TYPE_DOUBLE)
    return g_strdup (g_ascii_dtostr (buffer, sizeof buffer,
                                     json_node_get_double (node)));
  return g_strdup_printf ("%" G_GINT64_FORMAT, json_node_get_int (node));
}

static bool
add_members (GHashTable *options, const char *key, JsonObject *object,
             GError **error)
{
  JsonObjectIter iter;
  const char *name;
  JsonNode *node;

  json_object_iter_init (&iter, object);
  while (json_object_iter_next (&iter, &name, &node)) {
    g_autofree char *below = *key ? g_strdup_printf ("%s.%s", key, name)
      : g_strdup (name);

    if (!add_node (options, below, node, error))
      return false;
  }
  return true;
}

static bool
add_elements (GHashTable *options, const char *key, JsonArray *array,
              GError **error)
{
  for (guint i = 0; i < json_array_get_length (array); i++) {
    g_autofree char *below = g_strdup_printf ("%s.%u", key, i);

    if (!add_node (options, below, json_array_get_element (array, i), error))
      return false;
  }
  return true;
}

/* Below key, "" for the root.  What is empty or null is entered, so that it is
 * not overlooked: "backing": null says something. */
static bool
add_node (GHashTable *options, const char *key, JsonNode *node, GError **error)
{
  if (strlen (key) > KEY_MOST)
    return error_set (error, ENOTSUP, "it has a key of more than %d bytes",
                      KEY_MOST);
  if (JSON_NODE_HOLDS_NULL (node))
    return error_set (error, ENOTSUP, "\"%s\" is null", key);
  if (JSON_NODE_HOLDS_OBJECT (node)
      && json_object_get_size (json_node_get_object (node)) > 0)
    return add_members (options, key, json_node_get_object (node), error);
  if (JSON_NODE_HOLDS_ARRAY (node)
      && json_array_get_length (json_node_get_array (node)) > 0)
    return add_elements (options, key, json_node_get_array (node), error);
  g_autofree char *text = JSON_NODE_HOLDS_VALUE (node) ? scalar_text (node)
    : g_strdup ("");
  return flat_options_add (options, key, text, error);
}

static GHashTable *
flatten (const char *text, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GHashTable) options = flat_options_new ();

  /* json-glib would end the text there. */
  if (strstr (text, "\\u0000"))
    return error_null (error, ENOTSUP, "it has a \\u0000");
  if (!g_utf8_validate (text, -1, NULL))
    return error_null (error, ENOTSUP, "it is not UTF-8");
  JsonObject *root = json_text_parse (parser, text, strlen (text));
  if (!root)
    return error_null (error, EINVAL, "what follows json: is no JSON object");
  return add_members (options, "", root, error)
    ? g_steal_pointer (&options) : NULL;
}

/* The driver, without which and what is ignored the options are left. */
static char *
take_driver (GHashTable *options)
{
  char *driver = g_strdup (g_hash_table_lookup (options, "driver"));

  g_hash_table_remove (options, "driver");
  for (guint i = 0; ignored[i]; i++)
    g_hash_table_remove (options, ignored[i]);
  return driver;
}

/* The options of the child "file", if there are no others. */
static GHashTable *
options_of_file (GHashTable *options, GError **error)
{
  g_autoptr (GHashTable) file = flat_options_new ();
  GHashTableIter iter;
  gpointer key, value;

  g_hash_table_iter_init (&iter, options);
  while (g_hash_table_iter_next (&iter, &key, &value)) {
    if (!g_str_has_prefix (key, FILE_PREFIX))
      return error_null (error, ENOTSUP, "\"%s\" is not supported",
                         (const char *) key);
    if (!flat_options_add (file, (const char *) key + strlen (FILE_PREFIX),
                           value, error))
      return NULL;
  }
  return g_steal_pointer (&file);
}

GHashTable *
json_name_read (const char *name, char **driver, char **format, GError **error)
{
  g_autoptr (GHashTable) options = flatten (name + strlen (PREFIX), error);

  *driver = *format = NULL;
  if (!options)
    return NULL;
  g_autofree char *top = take_driver (options);
  if (top && !g_strv_contains (formats, top)) {
    *driver = g_steal_pointer (&top);
    return g_steal_pointer (&options);
  }

  g_autoptr (GHashTable) file = options_of_file (options, error);
  if (!file)
    return NULL;
  g_autofree char *below = take_driver (file);
  /* QEMU knows by itself if that is a file or a device, but follows no protocol
   * in it. */
  if (!below && g_hash_table_contains (file, "filename"))
    below = g_strdup ("file");
  if (!below)
    return error_null (error, EINVAL, "it has no driver for what is read");
  *driver = g_steal_pointer (&below);
  *format = g_steal_pointer (&top);
  return g_steal_pointer (&file);
}

bool
json_name_is_raw (const char *name)
{
  g_autoptr (GHashTable) options
    = json_name_is (name) ? flatten (name + strlen (PREFIX), NULL) : NULL;
  g_autofree char *top = options ? take_driver (options) : NULL;

  return top && !g_strv_contains (formats, top);
}
