/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "keeper/message.h"
#include "keeper/telling.h"

bool
telling_say (Telling *telling, guint kind, const char *first,
             const char *second)
{
  const char *const texts[] = { first, second, NULL };

  telling->is_over |= !message_send (telling->fd, kind, texts);
  return !telling->is_over;
}

void
telling_say_failed (Telling *telling, const GError *error)
{
  g_autofree char *number = g_strdup_printf ("%d", error->code);

  telling_say (telling, KEEPER_FAILED, number, error->message);
}

void
telling_lose (Telling *telling, const char *why)
{
  if (telling->life != JOB_RUNNING)
    return;
  telling->life = JOB_LOST;
  telling_say (telling, KEEPER_LOST, why, NULL);
}

void
telling_note_end (Telling *telling)
{
  telling->life = telling_is_lost (telling) ? JOB_ENDED : JOB_IDLE;
}
