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
