/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/base/afterwards.c: what must be undone is undone by another
 * process, when it is asked for or we are killed, and only then.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/afterwards.h"
#include "base/error.h"
#include "base/fd.h"

#define LONG_MS 10000

typedef struct {
  int told;                     /* gets a byte when it is undone */
  guint delay_ms;
  bool fails;
} Undo;

static bool
undo (void *opaque, GError **error)
{
  const Undo *self = opaque;

  g_usleep (self->delay_ms * 1000);
  if (self->fails)
    return error_set (error, ENOSPC, "no room for %s", "undoing");
  return write (self->told, "u", 1) == 1;
}

/* Is it undone within this time?  false at the end of the pipe: never. */
static bool
is_undone (int fd, int milliseconds)
{
  struct pollfd pollfd = { .fd = fd, .events = POLLIN };
  char byte;

  return poll (&pollfd, 1, milliseconds) > 0 && read (fd, &byte, 1) == 1;
}

static void
test_asked (void)
{
  int pipe_fds[2];
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (pipe2 (pipe_fds, O_CLOEXEC), ==, 0);
  Undo self = { .told = pipe_fds[1] };
  Afterwards *after = afterwards_new (undo, &self, pipe_fds[1], &error);
  g_assert_no_error (error);
  afterwards_arm (after);
  g_assert_false (is_undone (pipe_fds[0], 100));
  g_assert_true (afterwards_do (after, LONG_MS, &error));
  g_assert_no_error (error);
  g_assert_true (is_undone (pipe_fds[0], 0));

  /* Nothing was done, so there is nothing to undo. */
  after = afterwards_new (undo, &self, pipe_fds[1], &error);
  g_assert_true (afterwards_do (after, LONG_MS, &error));
  close_fd (&pipe_fds[1]);
  g_assert_false (is_undone (pipe_fds[0], LONG_MS));
  g_assert_true (afterwards_do (NULL, 0, &error));
  close_fd (&pipe_fds[0]);
}

static void
test_fails (void)
{
  Undo self = { .told = -1, .fails = true };
  g_autoptr (GError) error = NULL;
  Afterwards *after = afterwards_new (undo, &self, -1, &error);

  afterwards_arm (after);
  g_assert_false (afterwards_do (after, LONG_MS, &error));
  g_assert_error (error, CHECKPOINT_ERROR, ENOSPC);
  g_assert_cmpstr (error->message, ==, "no room for undoing");
}

/* It goes on, and is not waited for. */
static void
test_slow (void)
{
  int pipe_fds[2];
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (pipe2 (pipe_fds, O_CLOEXEC), ==, 0);
  Undo self = { .told = pipe_fds[1], .delay_ms = 600 };
  Afterwards *after = afterwards_new (undo, &self, pipe_fds[1], &error);
  afterwards_arm (after);
  g_assert_false (afterwards_do (after, 100, &error));
  g_assert_error (error, CHECKPOINT_ERROR, ETIMEDOUT);
  close_fd (&pipe_fds[1]);
  g_assert_true (is_undone (pipe_fds[0], LONG_MS));
  /* Its end was closed: it has ended. */
  g_assert_false (is_undone (pipe_fds[0], LONG_MS));
  close_fd (&pipe_fds[0]);
}

/* A process that has something to undo, and a pipe that nobody else holds. */
static void
be_killed (int told, int ready)
{
  Undo self = { .told = told };
  Afterwards *after = afterwards_new (undo, &self, told, NULL);

  afterwards_arm (after);
  if (write (ready, "r", 1) == 1)
    for (;;)
      pause ();
  _exit (EXIT_FAILURE);
}

static void
test_killed (gconstpointer data)
{
  int told[2], ready[2];
  char byte;

  g_assert_cmpint (pipe2 (told, O_CLOEXEC), ==, 0);
  g_assert_cmpint (pipe2 (ready, O_CLOEXEC), ==, 0);
  const pid_t pid = fork ();
  g_assert_cmpint (pid, >=, 0);
  if (pid == 0) {
    setpgid (0, 0);
    be_killed (told[1], ready[1]);
  }
  close_fd (&told[1]);
  close_fd (&ready[1]);
  g_assert_cmpint (read (ready[0], &byte, 1), ==, 1);
  /* It holds nothing but what it was given. */
  g_assert_false (is_undone (told[0], 100));
  g_assert_cmpint (kill (pid, GPOINTER_TO_INT (data)), ==, 0);
  g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
  g_assert_cmpint (read (ready[0], &byte, 1), ==, 0);
  g_assert_true (is_undone (told[0], LONG_MS));
  g_assert_false (is_undone (told[0], LONG_MS));
  close_fd (&told[0]);
  close_fd (&ready[0]);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  signal (SIGPIPE, SIG_IGN);
  g_test_add_func ("/afterwards/asked", test_asked);
  g_test_add_func ("/afterwards/fails", test_fails);
  g_test_add_func ("/afterwards/slow", test_slow);
  g_test_add_data_func ("/afterwards/killed", GINT_TO_POINTER (SIGKILL),
                        test_killed);
  g_test_add_data_func ("/afterwards/terminated", GINT_TO_POINTER (SIGTERM),
                        test_killed);
  return g_test_run ();
}
