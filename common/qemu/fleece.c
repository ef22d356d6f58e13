/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What a server asks of a keeper of QEMU's jobs.  While it looks, it speaks on the
 * keeper's own connection, in turn with it, as the monitor serves one client at a
 * time.
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "base/fd.h"
#include "keeper/telling.h"
#include "qemu/fleece-kept.h"

/* How it is ended by hand, if it comes to that. */
static void
set_words (Keeper *keeper, const char *path, const Fleece *fleece)
{
  g_autoptr (GPtrArray) look = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) none = g_ptr_array_new ();

  g_ptr_array_add (look, g_strdup ("{\"execute\": \"query-jobs\"}"));
  const KeeperWords words = {
    .where = g_strdup_printf ("QEMU at %s", path),
    .look_at_job = fleece_by_hand (path, look),
    .end_job = fleece ? fleece_end_by_hand (path, fleece)
      : fleece_by_hand (path, none),
    .look_at_peer = fleece_by_hand (path, look),
  };

  keeper_set_words (keeper, &words);
}

Monitor *
fleece_look (Keeper *keeper, const char *path, const NbdLife *life,
             GError **error)
{
  const char *const texts[] = { path, NULL };
  g_auto (Message) message = { 0 };

  set_words (keeper, path, NULL);
  if (!keeper_ask (keeper, KEEPER_LOOK, texts, error)
      || !keeper_answer (keeper, "tell of it", &message, error))
    return NULL;
  return monitor_join (path, message_take_fd (&message), life);
}

bool
fleece_begin (Keeper *keeper, const char *path, const Fleece *fleece,
              GError **error)
{
  g_autofree char *text = fleece_format (fleece);
  const char *const texts[] = { text, NULL };
  g_auto (Message) message = { 0 };

  set_words (keeper, path, fleece);
  return keeper_ask (keeper, KEEPER_BEGIN, texts, error)
    && keeper_answer (keeper, "begin the backup", &message, error);
}
