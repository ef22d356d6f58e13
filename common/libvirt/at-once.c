/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "libvirt/at-once.h"

/* At five of one client's questions, libvirt's daemon stops to read what it sends,
 * and complains (max_client_requests).
 */
#define MOST 4

typedef struct {
  AtOnceAsk ask;
  void *opaque;
  guint count;
  gint next;                    /* atomic */
} Asking;

static gpointer
ask_next (gpointer data)
{
  Asking *asking = data;
  guint which;

  while ((which = (guint) g_atomic_int_add (&asking->next, 1)) < asking->count)
    asking->ask (asking->opaque, which);
  return NULL;
}

void
at_once (AtOnceAsk ask, void *opaque, guint count)
{
  Asking asking = { .ask = ask, .opaque = opaque, .count = count };
  GThread *helpers[MOST - 1] = { NULL };

  for (guint i = 0; i < MOST - 1 && i + 1 < count; i++)
    helpers[i] = g_thread_try_new ("ask", ask_next, &asking, NULL);
  ask_next (&asking);
  for (guint i = 0; i < MOST - 1; i++)
    if (helpers[i])
      g_thread_join (helpers[i]);
}
