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
static struct sigaction before[NSIG];
static int fds[2] = { -1, -1 };
static gint told;               /* atomic */

static void
handle (int number, siginfo_t *info, void *context)
{
  const struct sigaction *theirs = &before[number];
  const int saved_errno = errno;

  g_atomic_int_set (&told, 1);
  while (write (fds[1], "", 1) < 0 && errno == EINTR)
    ;
  errno = saved_errno;
  if (theirs->sa_flags & SA_SIGINFO)
    theirs->sa_sigaction (number, info, context);
  else
    theirs->sa_handler (number);
}

void
on_quit_listen (void)
{
  struct sigaction action = { .sa_sigaction = handle };

  if (fds[0] >= 0 || pipe2 (fds, O_CLOEXEC | O_NONBLOCK) < 0)
    return;
  for (guint i = 0; i < G_N_ELEMENTS (signals); i++) {
    struct sigaction *theirs = &before[signals[i]];

    if (sigaction (signals[i], NULL, theirs) < 0
        || (!(theirs->sa_flags & SA_SIGINFO)
            && (theirs->sa_handler == SIG_DFL
                || theirs->sa_handler == SIG_IGN)))
      continue;                 /* not one that ends nbdkit in good order */
    action.sa_flags = theirs->sa_flags | SA_SIGINFO;
    action.sa_mask = theirs->sa_mask;
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
