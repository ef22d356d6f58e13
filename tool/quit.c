/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * on-quit.c tells those that wait; it needs a handler of the front end's.
 */
#include <config.h>

#include <signal.h>
#include <glib.h>

#include "base/on-quit.h"
#include "tool/quit.h"

static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
static volatile sig_atomic_t by;

static void
note (int number)
{
  by = number;
}

void
quit_listen (void)
{
  /* The second one finds no handler. */
  const struct sigaction action = { .sa_handler = note,
                                    .sa_flags = (int) SA_RESETHAND };

  for (guint i = 0; i < G_N_ELEMENTS (signals); i++) {
    struct sigaction before;
    if (sigaction (signals[i], NULL, &before) == 0
        && before.sa_handler == SIG_DFL)
      sigaction (signals[i], &action, NULL);
  }
  on_quit_listen ();
}

bool
quit_told (void)
{
  return g_atomic_int_get (on_quit_flag ()) != 0;
}

void
quit_as_told (void)
{
  if (!by)
    return;
  signal (by, SIG_DFL);
  raise (by);
}
