/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Fuzz the names of backing files.  What is read has a driver and is JSON that
 * can be sent; what is refused says why in one line.  No name is both here and
 * elsewhere.  For libFuzzer, or with replay.c for any compiler.
 */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <glib.h>

#include "image/remote-name.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check_refused (const char *name, const GError *error)
{
  if (!error || (error->code != EINVAL && error->code != ENOTSUP)
      || *error->message == '\0' || strpbrk (error->message, "\n\r"))
    g_error ("\"%s\" is refused without one line saying why", name);
}

static void
check_read (const char *name, JsonObject *options)
{
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);

  json_node_set_object (node, options);
  g_autofree char *text = json_to_string (node, false);
  if (!json_object_get_string_member_with_default (options, "driver", NULL)
      || !g_utf8_validate (text, -1, NULL))
    g_error ("\"%s\" became %s", name, text);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree char *name = g_strndup ((const char *) data, size);
  g_autofree char *format = NULL, *local_format = NULL;
  g_autoptr (GError) error = NULL, local_error = NULL;
  g_autoptr (JsonObject) options = NULL;
  g_autofree char *local = NULL;

  g_log_set_always_fatal (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING);
  options = remote_name_options (name, &format, &error);
  local = json_name_local (name, &local_format, &local_error);
  if (options)
    check_read (name, options);
  else
    check_refused (name, error);
  if (local_error)
    check_refused (name, local_error);
  if ((options && (error || local || local_error || !remote_name_is (name)))
      || (local && (local_error || remote_name_is (name)))
      || (!options && format) || (!local && local_format))
    g_error ("\"%s\" has two meanings", name);
  return 0;
}
