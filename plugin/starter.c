/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A pipe tells the end of the process that nbdkit was started as.  It is normal
 * that it ends by itself, at once where nbdkit goes into the background, or
 * after it has ended the server.  nbdkit calls exit () then
 * (server/background.c, captive.c; 1.32 to 1.48), which runs the destructor
 * below.  So if the pipe ends without a word, its writer was killed.  (A pidfd
 * would not tell that.)
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>
#include <glib.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "base/on-quit.h"
#include "nbdkit/say.h"
#include "plugin/starter.h"

static int fds[2] = { -1, -1 };
static pid_t starter;
static bool serves;
static void (*disown) (void);

static void __attribute__ ((destructor))
say_farewell (void)
{
  if (fds[1] >= 0 && getpid () == starter)
    while (write (fds[1], "", 1) < 0 && errno == EINTR)
      ;
}

/* nbdkit forks once from here on (server/captive.c, background.c): the child
 * serves, and we wait for --run's command or end.  With -f it does not, and
 * what is forked later is not the server.
 */
static void
forked (void)
{
  if (!serves && getpid () == starter)
    disown ();
}

void
starter_note (void (*disown_all) (void))
{
  starter = getpid ();
  disown = disown_all;
  pthread_atfork (NULL, forked, NULL);
  if (pipe2 (fds, O_CLOEXEC) < 0)
    fds[0] = fds[1] = -1;
}

static gpointer
watch (gpointer unused)
{
  struct pollfd pollfds[] = {
    { .fd = fds[0], .events = POLLIN },
    { .fd = on_quit_fd (), .events = POLLIN },
  };
  char word;

  while (poll (pollfds, G_N_ELEMENTS (pollfds), -1) < 0 && errno == EINTR)
    ;
  if (pollfds[0].revents && !pollfds[1].revents
      && read (fds[0], &word, 1) == 0) {
    say_error ("the process that waits for --run's command was killed, so "
               "nothing is served any more");
    kill (getpid (), SIGTERM);
  }
  return unused;
}

void
starter_watch (void)
{
  serves = true;
  if (fds[1] >= 0)
    close (fds[1]);
  fds[1] = -1;
  if (fds[0] >= 0 && getpid () != starter)
    g_thread_unref (g_thread_new ("starter", watch, NULL));
}
