/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Ownership of an endpoint's strings and of its ready connection.
 */
#include <config.h>

#include "nbd/connect.h"

const char *
nbd_endpoint_dirty_context (const NbdEndpoint *endpoint)
{
  return endpoint->told_to == 0 || endpoint->bits || endpoint->holes ? NULL
    : endpoint->bitmap_context ? endpoint->bitmap_context : NBD_CONTEXT_DEPTH;
}

void
nbd_endpoint_copy (NbdEndpoint *to, const NbdEndpoint *from)
{
  const char *dirty = nbd_endpoint_dirty_context (from);

  *to = (NbdEndpoint) {
    .uri = g_strdup (from->uri),
    .socket = g_strdup (from->socket),
    .export_name = g_strdup (from->export_name),
    .told_to = dirty ? from->told_to : 0,
    .bitmap_context = g_strdup (dirty),
    .what = g_strdup (from->what),
    .life = from->life,
    .turnstile = from->turnstile,
    .reporter = from->reporter,
  };
}

void
nbd_endpoint_clear (NbdEndpoint *endpoint)
{
  g_clear_pointer (&endpoint->uri, g_free);
  g_clear_pointer (&endpoint->socket, g_free);
  g_clear_pointer (&endpoint->export_name, g_free);
  g_clear_pointer (&endpoint->bitmap_context, g_free);
  g_clear_pointer (&endpoint->what, g_free);
  if (endpoint->first)
    nbd_connect_drop (endpoint->life, g_steal_pointer (&endpoint->first));
  if (endpoint->bits) {
    nbd_endpoint_clear (endpoint->bits);
    g_clear_pointer (&endpoint->bits, g_free);
  }
}
