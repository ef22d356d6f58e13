/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <poll.h>
#include <stdlib.h>

#include "base/error.h"
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

bool
telling_send_error (int fd, guint kind, const GError *error)
{
  const char *const *words;
  const Remedy remedy = error_remedy (error, &words);
  g_autofree char *number = g_strdup_printf ("%d", error->code);
  g_autofree char *advice = g_strdup_printf ("%d", (int) remedy);
  g_autofree char *reason = g_strdup_printf ("%d", (int) error_reason (error));
  const char *texts[] = { number, error->message, advice, "", "", "", reason,
                          NULL };

  for (guint i = 0; words[i]; i++)
    texts[3 + i] = words[i];
  return message_send (fd, kind, texts);
}

void
telling_say_failed (Telling *telling, const GError *error)
{
  telling->is_over |= !telling_send_error (telling->fd, KEEPER_FAILED, error);
}

bool
telling_take_failed (const Message *message, GError **error)
{
  const int remedy = atoi (message_text (message, 2));
  const int reason = atoi (message_text (message, 6));

  error_set (error, atoi (message_text (message, 0)), "%s",
             message_text (message, 1));
  if (reason > 0 && reason < REASON_COUNT)
    error_sort (error, (Reason) reason, NULL);
  return error_advise (error, remedy > 0 && remedy < REMEDY_COUNT
                       ? (Remedy) remedy : REMEDY_NONE,
                       message_text (message, 3), message_text (message, 4),
                       message_text (message, 5), NULL);
}

bool
telling_server_is_gone (const Telling *telling)
{
  struct pollfd peer = { .fd = telling->fd, .events = POLLRDHUP };

  return telling->is_over || poll (&peer, 1, 0) == 1;
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
