/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Children that have something to save (CHILD_SAVES of common/base/child.h):
 * told to end as often as it takes, and never killed.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>

#include "base/child.h"

#define LONG_MS 20000
#define GRACE_MS 300

/* Heeds the third word only, as if it had not heard the others. */
#define DEAF "n=0; trap 'n=$((n + 1))' TERM; echo ready; " \
  "while test $n -lt 3; do sleep 0.02; done; echo saved >&3"
/* Saves for long. */
#define SLOW "trap '' TERM; echo ready; sleep 1; echo saved >&3"

/* Returns the end from which it can be read that it has saved. */
static int
start (const char *script, Child *child)
{
  const char *argv[] = { "/bin/sh", "-c", script, NULL };
  g_autoptr (GError) error = NULL;
  int fds[2];
  char ready[8];

  g_assert_cmpint (pipe2 (fds, O_CLOEXEC), ==, 0);
  g_assert_true (child_start (argv, &fds[1], 1, CHILD_SAVES, child, &error));
  g_assert_no_error (error);
  close (fds[1]);
  g_assert_cmpint (read (child->out, ready, 6), ==, 6);
  return fds[0];
}

static void
assert_saves (int fd)
{
  char text[8] = "";

  /* The end comes once nobody holds the other end any more. */
  g_assert_cmpint (read (fd, text, sizeof text - 1), ==, 6);
  g_assert_cmpstr (text, ==, "saved\n");
  g_assert_cmpint (read (fd, text, 1), ==, 0);
  close (fd);
}

static void
test_stop (void)
{
  Child child = CHILD_INIT;
  const int fd = start (DEAF, &child);

  g_assert_true (child_stop (&child, LONG_MS));
  assert_saves (fd);
}

static void
test_stop_slow (void)
{
  Child child = CHILD_INIT;
  const int fd = start (SLOW, &child);
  const pid_t pid = child.pid;

  g_assert_false (child_stop (&child, GRACE_MS));
  g_assert_cmpint (kill (pid, 0), ==, 0);
  assert_saves (fd);
  g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
}

/* The process that holds it is killed; nothing of it is left, nor of who
 * reminds it.
 */
static void
test_holder_dies (gconstpointer script)
{
  int fds[2], status;

  g_assert_cmpint (prctl (PR_SET_CHILD_SUBREAPER, 1), ==, 0);
  g_assert_cmpint (pipe2 (fds, O_CLOEXEC), ==, 0);
  const pid_t holder = fork ();
  g_assert_cmpint (holder, >=, 0);
  if (holder == 0) {
    Child child = CHILD_INIT;
    const int fd = start (script, &child);
    char c;

    /* The reader of all it writes is the parent. */
    g_assert_cmpint (write (fds[1], &child.pid, sizeof child.pid), >, 0);
    if (fork () == 0) {
      /* Without the guard. */
      child_disown (&child);
      while (read (fd, &c, 1) == 1)
        g_assert_cmpint (write (fds[1], &c, 1), ==, 1);
      _exit (0);
    }
    raise (SIGKILL);
  }
  pid_t child;
  close (fds[1]);
  g_assert_cmpint (read (fds[0], &child, sizeof child), ==, sizeof child);
  char text[8] = "";
  for (gsize n = 0; n < 6; n++)
    g_assert_cmpint (read (fds[0], text + n, 1), ==, 1);
  g_assert_cmpstr (text, ==, "saved\n");
  close (fds[0]);
  bool seen = false;
  pid_t pid;
  while ((pid = waitpid (-1, &status, 0)) > 0)
    seen = seen || (pid == child && WIFEXITED (status));
  g_assert_true (seen);
  g_assert_cmpint (prctl (PR_SET_CHILD_SUBREAPER, 0), ==, 0);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/child-saves/stop", test_stop);
  g_test_add_func ("/child-saves/stop-slow", test_stop_slow);
  g_test_add_data_func ("/child-saves/holder-dies/deaf", DEAF,
                        test_holder_dies);
  g_test_add_data_func ("/child-saves/holder-dies/slow", SLOW,
                        test_holder_dies);
  return g_test_run ();
}
