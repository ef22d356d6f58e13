/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * JSON from another program, parsed without trust.
 */
#pragma once

#include <stdbool.h>
#include <json-glib/json-glib.h>

/* Parse text whose root is an object.  Borrowed from parser; NULL if it is
 * not JSON, not an object, or nested more than 64 deep, which QEMU never
 * does and on which json-glib 1.6 would overrun the stack.
 */
JsonObject *json_text_parse (JsonParser *parser, const char *text,
                             gsize length);

/* A member of that name and kind; NULL, otherwise, false or 0 if it has none
 * such.  Borrowed.
 */
JsonObject *json_text_object (JsonObject *object, const char *name);
JsonArray *json_text_array (JsonObject *object, const char *name);
const char *json_text_string (JsonObject *object, const char *name,
                              const char *otherwise);
bool json_text_true (JsonObject *object, const char *name);
gint64 json_text_int (JsonObject *object, const char *name);

/* The object at that place, or NULL. */
JsonObject *json_text_element (JsonArray *array, guint index);

/* A node's array; NULL if it has none, or is NULL.  Borrowed. */
JsonArray *json_text_node_array (JsonNode *node);
