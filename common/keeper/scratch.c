/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "keeper/scratch.h"

/* Warn when a fifth, a tenth, a twentieth of the room at first is left. */
static bool
runs_short (ScratchWatch *watch, guint64 left)
{
  static const guint shares[] = { 5, 10, 20 };
  const guint before = watch->warned;

  while (watch->warned < G_N_ELEMENTS (shares)
         && left <= watch->room / shares[watch->warned])
    watch->warned++;
  return watch->warned > before;
}

void
scratch_watch_tell (ScratchWatch *watch, Telling *telling, guint64 used,
                    guint64 left, const char *folder)
{
  if (used != watch->told) {
    g_autofree char *used_text = g_strdup_printf ("%" G_GUINT64_FORMAT, used);
    g_autofree char *left_text = g_strdup_printf ("%" G_GUINT64_FORMAT, left);
    telling_say (telling, KEEPER_SCRATCH, used_text, left_text);
    watch->told = used;
  }
  if (!runs_short (watch, left))
    return;
  g_autofree char *text = g_strdup_printf (
    "scratch files take %" G_GUINT64_FORMAT " bytes and only %"
    G_GUINT64_FORMAT " are left in %s; when it is full, the guest's own "
    "writes fail: make room there, or end this backup", used, left,
    folder);
  telling_say (telling, KEEPER_WARNING, text, NULL);
}
