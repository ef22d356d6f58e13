/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <glib-unix.h>

#include "keeper/glib-loop.h"

typedef struct {
  KeeperCallback heed;
  void *opaque;
} Call;

static gboolean
on_fd (gint fd G_GNUC_UNUSED, GIOCondition condition G_GNUC_UNUSED,
       gpointer data)
{
  const Call *call = data;

  call->heed (call->opaque);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_clock (gpointer data)
{
  const Call *call = data;

  call->heed (call->opaque);
  return G_SOURCE_CONTINUE;
}

bool
glib_loop_add_fd (int fd, KeeperCallback heed, void *opaque)
{
  const Call call = { heed, opaque };

  return g_unix_fd_add_full (G_PRIORITY_DEFAULT, fd, G_IO_IN | G_IO_HUP, on_fd,
                             g_memdup2 (&call, sizeof call), g_free) > 0;
}

bool
glib_loop_add_clock (int interval_ms, KeeperCallback heed, void *opaque)
{
  const Call call = { heed, opaque };

  return g_timeout_add_full (G_PRIORITY_DEFAULT, (guint) interval_ms, on_clock,
                             g_memdup2 (&call, sizeof call), g_free) > 0;
}

bool
glib_loop_turn (void)
{
  g_main_context_iteration (NULL, TRUE);
  return true;
}
