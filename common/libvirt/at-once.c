/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <stdbool.h>

#include "libvirt/at-once.h"

/* At five of one client's questions, libvirt's daemon stops to read what it sends,
 * and complains (max_client_requests).
 */
#define MOST 4

typedef struct {
  const AtOnce *groups;
  guint count;
  gint next;                    /* question; atomic */
} Asking;

/* False: there is no such question. */
static bool
ask_one (const Asking *asking, guint which)
{
  for (guint i = 0; i < asking->count; i++) {
    const AtOnce *group = &asking->groups[i];
    if (which < group->count) {
      group->ask (group->opaque, which);
      return true;
    }
    which -= group->count;
  }
  return false;
}

static gpointer
ask_next (gpointer data)
{
  Asking *asking = data;

  while (ask_one (asking, (guint) g_atomic_int_add (&asking->next, 1)))
    ;
  return NULL;
}

void
at_once (const AtOnce *groups, guint count)
{
  Asking asking = { .groups = groups, .count = count };
  GThread *helpers[MOST - 1] = { NULL };
  guint questions = 0;

  for (guint i = 0; i < count; i++)
    questions += groups[i].count;
  for (guint i = 0; i < MOST - 1 && i + 1 < questions; i++)
    helpers[i] = g_thread_try_new ("ask", ask_next, &asking, NULL);
  ask_next (&asking);
  for (guint i = 0; i < MOST - 1; i++)
    if (helpers[i])
      g_thread_join (helpers[i]);
}
