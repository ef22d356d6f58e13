/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * nbdkit's signal handlers (server/signals.c) are called by ours.
 * (nbdkit_nanosleep would wake up, too, but log an error each time.)
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
#include <glib.h>

#include "base/on-quit.h"

static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
static struct sigaction before[G_N_ELEMENTS (signals)];
static int fds[2] = { -1, -1 };
static gint told;               /* atomic */

static void
handle (int number, siginfo_t *info, void *context)
{
  const int saved_errno = errno;

  g_atomic_int_set (&told, 1);
  while (write (fds[1], "", 1) < 0 && errno == EINTR)
    ;
  errno = saved_errno;
  for (guint i = 0; i < G_N_ELEMENTS (signals); i++) {
    if (signals[i] != number)
      continue;
    if (before[i].sa_flags & SA_SIGINFO)
      before[i].sa_sigaction (number, info, context);
    else
      before[i].sa_handler (number);
  }
}

void
on_quit_listen (void)
{
  struct sigaction action = { .sa_sigaction = handle };

  if (fds[0] >= 0 || pipe2 (fds, O_CLOEXEC | O_NONBLOCK) < 0)
    return;
  for (guint i = 0; i < G_N_ELEMENTS (signals); i++) {
    if (sigaction (signals[i], NULL, &before[i]) < 0
        || (!(before[i].sa_flags & SA_SIGINFO)
            && (before[i].sa_handler == SIG_DFL
                || before[i].sa_handler == SIG_IGN)))
      continue;                 /* not one that ends nbdkit in good order */
    action.sa_flags = before[i].sa_flags | SA_SIGINFO;
    action.sa_mask = before[i].sa_mask;
    sigaction (signals[i], &action, NULL);
  }
}

const gint *
on_quit_flag (void)
{
  return &told;
}

int
on_quit_fd (void)
{
  return fds[0];
}
