/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * json-glib's parser recurses once per level, without a limit.
 */
#include <config.h>

#include <stdbool.h>

#include "base/json-text.h"

#define LEVELS_LIMIT 64

static bool
is_shallow (const char *text, gsize length)
{
  guint levels = 0;
  bool in_string = false;

  for (gsize i = 0; i < length; i++) {
    const char c = text[i];

    if (in_string && c == '\\')
      i++;
    else if (!in_string && (c == '\'' || c == '/' || c == '#'))
      return false;             /* json-glib knows these, JSON does not */
    else if (c == '"')
      in_string = !in_string;
    else if (!in_string && (c == '[' || c == '{')) {
      if (++levels > LEVELS_LIMIT)
        return false;
    }
    else if (!in_string && (c == ']' || c == '}') && levels > 0)
      levels--;
  }
  return true;
}

JsonObject *
json_text_parse (JsonParser *parser, const char *text, gsize length)
{
  if (!is_shallow (text, length)
      || !json_parser_load_from_data (parser, text, (gssize) length, NULL))
    return NULL;
  JsonNode *root = json_parser_get_root (parser);
  return root && JSON_NODE_HOLDS_OBJECT (root)
    ? json_node_get_object (root) : NULL;
}

static JsonNode *
member (JsonObject *object, const char *name, GType type)
{
  JsonNode *node = object && json_object_has_member (object, name)
    ? json_object_get_member (object, name) : NULL;

  return node && JSON_NODE_HOLDS_VALUE (node)
    && json_node_get_value_type (node) == type ? node : NULL;
}

JsonObject *
json_text_object (JsonObject *object, const char *name)
{
  JsonNode *node = object && json_object_has_member (object, name)
    ? json_object_get_member (object, name) : NULL;

  return node && JSON_NODE_HOLDS_OBJECT (node)
    ? json_node_get_object (node) : NULL;
}

JsonArray *
json_text_array (JsonObject *object, const char *name)
{
  return object && json_object_has_member (object, name)
    ? json_text_node_array (json_object_get_member (object, name)) : NULL;
}

const char *
json_text_string (JsonObject *object, const char *name, const char *otherwise)
{
  JsonNode *node = member (object, name, G_TYPE_STRING);

  return node ? json_node_get_string (node) : otherwise;
}

bool
json_text_true (JsonObject *object, const char *name)
{
  JsonNode *node = member (object, name, G_TYPE_BOOLEAN);

  return node && json_node_get_boolean (node);
}

gint64
json_text_int (JsonObject *object, const char *name)
{
  JsonNode *node = member (object, name, G_TYPE_INT64);

  return node ? json_node_get_int (node) : 0;
}

JsonObject *
json_text_element (JsonArray *array, guint index)
{
  JsonNode *node = json_array_get_element (array, index);

  return JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

JsonArray *
json_text_node_array (JsonNode *node)
{
  return node && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node)
    : NULL;
}
