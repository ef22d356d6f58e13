/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * JSON from another program, parsed without trust.
 */
#pragma once

#include <json-glib/json-glib.h>

/* Parse text whose root is an object.  Borrowed from parser; NULL if it is
 * not JSON, not an object, or nested more than 64 deep, which QEMU never
 * does and on which json-glib 1.6 would overrun the stack.
 */
JsonObject *json_text_parse (JsonParser *parser, const char *text,
                             gsize length);
