/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Two pipes.  On the first the other process reads that it is armed, and then the
 * end of the pipe: we have closed it, or the kernel has.  On the second it says
 * how its act went.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <glib/gstdio.h>

#include "base/afterwards.h"
#include "base/error.h"
#include "base/fd.h"

#define ARMED 'a'
#define ANSWER_LIMIT 4096

struct Afterwards {
  pid_t pid;
  int ask;                      /* closed: it is to act */
  int answer;
};

/* A Ctrl-C is for us, and so is what ends all of a service. */
static void
stand_aside (void)
{
  static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
  const int nothing = open ("/dev/null", O_RDWR | O_CLOEXEC);

  for (guint i = 0; i < G_N_ELEMENTS (signals); i++)
    signal (signals[i], SIG_IGN);
  setsid ();
  g_chdir ("/");
  prctl (PR_SET_NAME, "checkpoint-undo");
  for (int fd = 0; nothing >= 0 && fd < 3; fd++)
    dup2 (nothing, fd);
}

/* Locks are held, and readers of pipes wait, as long as we have them open. */
static void
close_all_but (const int *kept, guint count)
{
  DIR *all = opendir ("/proc/self/fd");
  const struct dirent *entry;

  while (all && (entry = readdir (all))) {
    const int fd = atoi (entry->d_name);
    bool keep = fd < 3 || fd == dirfd (all);
    for (guint i = 0; i < count; i++)
      keep |= fd == kept[i];
    if (!keep)
      close (fd);
  }
  if (all)
    closedir (all);
}

/* True if the pipe said that it is armed before it ended. */
static bool
wait_for_end (int asked)
{
  bool armed = false;
  char byte;
  ssize_t n;

  while ((n = read (asked, &byte, 1)) > 0 || (n < 0 && errno == EINTR))
    armed |= n > 0 && byte == ARMED;
  return armed;
}

static G_NORETURN void
be_the_other (AfterwardsAct act, void *opaque, int asked, int answer)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;

  if (!wait_for_end (asked) || act (opaque, &error))
    text = g_strdup ("0 ");
  else
    text = g_strdup_printf ("%d %s", error->code, error->message);
  /* Nobody may be left to read it. */
  if (write (answer, text, MIN (strlen (text), ANSWER_LIMIT)) < 0)
    _exit (EXIT_FAILURE);
  _exit (EXIT_SUCCESS);
}

Afterwards *
afterwards_new (AfterwardsAct act, void *opaque, int keep, GError **error)
{
  int ask[2] = { -1, -1 }, answer[2] = { -1, -1 };

  if (pipe2 (ask, O_CLOEXEC) < 0 || pipe2 (answer, O_CLOEXEC) < 0)
    goto failed;
  const pid_t pid = fork ();
  if (pid == 0) {
    const int kept[] = { ask[0], answer[1], keep };
    stand_aside ();
    close_all_but (kept, G_N_ELEMENTS (kept));
    be_the_other (act, opaque, ask[0], answer[1]);
  }
  if (pid < 0)
    goto failed;
  close_fd (&ask[0]);
  close_fd (&answer[1]);
  Afterwards *self = g_new0 (Afterwards, 1);
  self->pid = pid;
  self->ask = ask[1];
  self->answer = answer[0];
  return self;

failed:
  error_set (error, errno, "cannot start a process that undoes what must be "
             "undone: %s", g_strerror (errno));
  for (guint i = 0; i < 2; i++) {
    close_fd (&ask[i]);
    close_fd (&answer[i]);
  }
  return NULL;
}

void
afterwards_arm (Afterwards *self)
{
  static const char armed = ARMED;

  /* It cannot be gone, and a pipe that is empty has room. */
  if (write (self->ask, &armed, 1) != 1)
    g_warn_if_reached ();
}

/* Its answer, "" if it ended without one; NULL: none came in time. */
static char *
hear (const Afterwards *self, guint milliseconds)
{
  const gint64 deadline = g_get_monotonic_time () + milliseconds * 1000LL;
  struct pollfd pollfd = { .fd = self->answer, .events = POLLIN };
  char text[ANSWER_LIMIT + 1];
  int ready;

  do {
    const gint64 left = (deadline - g_get_monotonic_time ()) / 1000;
    ready = poll (&pollfd, 1, (int) CLAMP (left, 0, G_MAXINT));
  }
  while (ready < 0 && errno == EINTR);
  if (ready <= 0)
    return NULL;
  const ssize_t n = read (self->answer, text, ANSWER_LIMIT);
  return g_strndup (text, (gsize) MAX (n, 0));
}

bool
afterwards_do (Afterwards *self, guint milliseconds, GError **error)
{
  bool ok = false;

  if (!self)
    return true;
  close_fd (&self->ask);
  g_autofree char *answer = hear (self, milliseconds);
  char *words;
  const int failure
    = answer ? (int) strtol (answer, &words, 10) : ETIMEDOUT;
  if (!answer)
    error_set (error, failure, "process %d still tries", (int) self->pid);
  else if (words == answer)
    error_set (error, EIO, "process %d, which was to do it, was killed",
               (int) self->pid);
  else if (failure)
    error_set (error, failure, "%s", words + 1);
  else
    ok = true;
  close_fd (&self->answer);
  /* One that goes on is init's to reap. */
  if (answer)
    while (waitpid (self->pid, NULL, 0) < 0 && errno == EINTR)
      continue;
  g_free (self);
  return ok;
}
