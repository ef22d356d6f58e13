/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/child.c with real programs: those that hang, flood, hide,
 * ignore SIGTERM or are left behind.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "child.h"
#include "error.h"

#define LONG_MS 20000
#define LIMIT (1024 * 1024)
/* For what should take no time, on the slowest of machines. */
#define PATIENCE_MS 4000

static gint64
now_ms (void)
{
  return g_get_monotonic_time () / 1000;
}

static bool
run (const char *const *argv, unsigned timeout_ms, gsize limit,
     ChildResult *result, GError **error)
{
  ChildRun begun;

  return child_run_begin (argv, &begun, error)
    && child_run_end (&begun, timeout_ms, limit, result, error);
}

static bool
run_shell (const char *script, unsigned timeout_ms, gsize limit,
           ChildResult *result, GError **error)
{
  const char *argv[] = { "/bin/sh", "-c", script, NULL };

  return run (argv, timeout_ms, limit, result, error);
}

static void
start_shell (const char *script, int pass_fd, Child *child)
{
  const char *argv[] = { "/bin/sh", "-c", script, NULL };
  g_autoptr (GError) error = NULL;

  g_assert_true (child_start (argv, pass_fd, child, &error));
  g_assert_no_error (error);
  g_assert_cmpint (child->pid, >, 0);
}

static void
assert_no_children (void)
{
  errno = 0;
  g_assert_cmpint (waitpid (-1, NULL, WNOHANG), ==, -1);
  g_assert_cmpint (errno, ==, ECHILD);
}

/* All that can be read until the other end is closed. */
static char *
read_all (int fd)
{
  GString *text = g_string_new (NULL);
  char buffer[256];
  ssize_t n;

  while ((n = read (fd, buffer, sizeof buffer)) > 0)
    g_string_append_len (text, buffer, n);
  g_assert_cmpint (n, ==, 0);
  return g_string_free (text, FALSE);
}

static void
wait_for_line (const Child *child, const char *line)
{
  g_autoptr (GString) text = g_string_new (NULL);
  char c;

  while (read (child->out, &c, 1) == 1 && c != '\n')
    g_string_append_c (text, c);
  g_assert_cmpstr (text->str, ==, line);
}

static void
assert_stopped (const Child *child, GPid pid)
{
  g_assert_cmpint (child->pid, ==, 0);
  g_assert_cmpint (child->in, ==, -1);
  g_assert_cmpint (child->out, ==, -1);
  g_assert_cmpint (kill (pid, 0), ==, -1);
  g_assert_cmpint (errno, ==, ESRCH);
  assert_no_children ();
}

static void
test_run_output (void)
{
  g_auto (ChildResult) result = { 0 };
  g_autoptr (GError) error = NULL;

  g_assert_true (run_shell ("printf 'a\\000b\\n'", LONG_MS, LIMIT, &result,
                            &error));
  g_assert_no_error (error);
  g_assert_true (result.ok);
  g_assert_cmpmem (result.out, result.out_length, "a\0b\n", 4);
  g_assert_cmpint (result.out[4], ==, '\0');
  assert_no_children ();
}

/* Both ways to start one; what the user set comes last, so it wins. */
static void
test_environment (void)
{
  static const struct { const char *set, *expected; } rows[] = {
    { NULL, "C glibc.malloc.hugetlb=1" },
    { "", "C glibc.malloc.hugetlb=1" },
    { "glibc.malloc.hugetlb=0",
      "C glibc.malloc.hugetlb=1:glibc.malloc.hugetlb=0" },
  };
  const char *argv[] = { "sh", "-c", "echo \"$LC_ALL $GLIBC_TUNABLES\"; cat",
                         NULL };
  g_autofree char *before = g_strdup (g_getenv ("GLIBC_TUNABLES"));

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_auto (ChildResult) result = { 0 };
    g_autoptr (GError) error = NULL;
    g_autofree char *line = g_strconcat (rows[i].expected, "\n", NULL);
    Child child = CHILD_INIT;

    if (rows[i].set)
      g_setenv ("GLIBC_TUNABLES", rows[i].set, TRUE);
    else
      g_unsetenv ("GLIBC_TUNABLES");
    g_assert_true (run_shell ("echo \"$LC_ALL $GLIBC_TUNABLES\"", LONG_MS,
                              LIMIT, &result, &error));
    g_assert_no_error (error);
    g_assert_cmpstr (result.out, ==, line);
    g_assert_true (child_start (argv, -1, &child, &error));
    g_assert_no_error (error);
    wait_for_line (&child, rows[i].expected);
    child_stop (&child, LONG_MS);
  }
  if (before)
    g_setenv ("GLIBC_TUNABLES", before, TRUE);
  else
    g_unsetenv ("GLIBC_TUNABLES");
  assert_no_children ();
}

static void
test_run_nothing (void)
{
  const char *argv[] = { "true", NULL };
  g_auto (ChildResult) result = { 0 };
  g_autoptr (GError) error = NULL;

  g_assert_true (run (argv, LONG_MS, 0, &result, &error));
  g_assert_no_error (error);
  g_assert_true (result.ok);
  g_assert_cmpuint (result.out_length, ==, 0);
  g_assert_cmpstr (result.out, ==, "");
  /* It becomes the end of a message, so it may not be empty. */
  g_assert_cmpstr (result.err, ==, "it says nothing");

  child_result_clear (&result);
  g_assert_null (result.out);
  g_assert_null (result.err);
  child_result_clear (&result);
}

static void
test_run_status (void)
{
  static const char *const scripts[] = {
    "echo out; echo err >&2; exit 3", "echo out; echo err >&2; kill -9 $$",
    "echo out; echo err >&2; kill -15 $$",
  };

  for (guint i = 0; i < G_N_ELEMENTS (scripts); i++) {
    g_auto (ChildResult) result = { 0 };
    g_autoptr (GError) error = NULL;

    g_assert_true (run_shell (scripts[i], LONG_MS, LIMIT, &result, &error));
    g_assert_no_error (error);
    g_assert_false (result.ok);
    g_assert_cmpstr (result.out, ==, "out\n");
    g_assert_cmpstr (result.err, ==, "err");
  }
  assert_no_children ();
}

static void
test_run_stderr (void)
{
  static const struct { const char *script, *expected; } cases[] = {
    { "printf ' one\\ntwo\\r\\n\\n' >&2", "one\ntwo" },
    { "printf 'a\\tb\\033[31mc\\177d' >&2", "a b [31mc d" },
    { "printf 'x\\377y\\302' >&2", "x\357\277\275y\357\277\275" },
    { "printf 'x\\000y\\n' >&2", "x\357\277\275y" },
    { "printf '\\303\\274ber\\n' >&2", "\303\274ber" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_auto (ChildResult) result = { 0 };
    g_autoptr (GError) error = NULL;
    g_autofree char *expected = g_strdelimit (g_strdup (cases[i].expected),
                                              "\n", ' ');

    g_assert_true (run_shell (cases[i].script, LONG_MS, LIMIT, &result,
                              &error));
    g_assert_true (result.ok);
    g_assert_cmpstr (result.err, ==, expected);
    g_assert_true (g_utf8_validate (result.err, -1, NULL));
  }
}

static void
test_run_environment (void)
{
  g_autofree char *before = g_strdup (g_getenv ("LC_ALL"));
  g_auto (ChildResult) result = { 0 };
  g_autoptr (GError) error = NULL;

  g_setenv ("LC_ALL", "de_DE.UTF-8", TRUE);
  /* cat shows that standard input is empty, not ours. */
  g_assert_true (run_shell ("echo $LC_ALL $MARK; cat", LONG_MS, LIMIT,
                            &result, &error));
  g_assert_cmpstr (result.out, ==, "C here\n");
  g_assert_cmpstr (g_getenv ("LC_ALL"), ==, "de_DE.UTF-8");
  if (before)
    g_setenv ("LC_ALL", before, TRUE);
  else
    g_unsetenv ("LC_ALL");
}

static void
test_run_missing (void)
{
  static const char *const programs[] = {
    "no-such-program-of-this-name", "/no/such/program",
  };

  for (guint i = 0; i < G_N_ELEMENTS (programs); i++) {
    const char *argv[] = { programs[i], NULL };
    g_auto (ChildResult) result = { 0 };
    g_autoptr (GError) error = NULL;

    g_assert_false (run (argv, LONG_MS, LIMIT, &result, &error));
    g_assert_error (error, CHECKPOINT_ERROR, ENOENT);
    g_assert_nonnull (strstr (error->message, programs[i]));
    g_assert_null (result.out);
    g_assert_null (result.err);
    g_assert_false (run (argv, LONG_MS, LIMIT, &result, NULL));
  }
  assert_no_children ();
}

/* Installed, but not to be run: another errno, as child.h says. */
static void
test_run_forbidden (void)
{
  g_autofree char *path = NULL;
  g_auto (ChildResult) result = { 0 };
  g_autoptr (GError) error = NULL;
  const int fd = g_file_open_tmp ("unit-child-XXXXXX", &path, &error);

  g_assert_no_error (error);
  close (fd);
  g_assert_cmpint (chmod (path, 0600), ==, 0);

  const char *argv[] = { path, NULL };
  g_assert_false (run (argv, LONG_MS, LIMIT, &result, &error));
  g_assert_cmpint (g_unlink (path), ==, 0);
  g_assert_error (error, CHECKPOINT_ERROR, EACCES);
}

static void
assert_times_out (const char *script)
{
  const unsigned timeout_ms = 200;
  g_auto (ChildResult) result = { 0 };
  g_autoptr (GError) error = NULL;
  const gint64 begin = now_ms ();

  g_assert_false (run_shell (script, timeout_ms, G_MAXSIZE / 2, &result,
                             &error));
  const gint64 took = now_ms () - begin;
  g_assert_error (error, CHECKPOINT_ERROR, ETIMEDOUT);
  g_assert_nonnull (strstr (error->message, "/bin/sh"));
  g_assert_cmpint (took, >=, timeout_ms - 1);
  g_assert_cmpint (took, <, PATIENCE_MS);
  g_assert_null (result.out);
  assert_no_children ();
}

static void
test_run_timeout (void)
{
  assert_times_out ("exec sleep 30");
  assert_times_out ("trap '' TERM; exec sleep 30");
  /* Output does not buy time. */
  assert_times_out ("while :; do echo x; sleep 0.02; done");
}

/* That nothing is left to read does not mean that it has ended. */
static void
test_run_timeout_closed (void)
{
  assert_times_out ("exec >&- 2>&-; exec sleep 6");
}

static void
test_run_limit (void)
{
  static const struct {
    const char *script;
    gsize limit;
    bool fits;
  } cases[] = {
    { "exec yes", LIMIT, false },
    { "exec yes >&2", LIMIT, false },
    { "exec head -c 1000 /dev/zero", 1000, true },
    { "exec head -c 1000 /dev/zero", 999, false },
    { "exec head -c 1000 /dev/zero >&2", 1000, true },
    { "exec head -c 1000 /dev/zero >&2", 999, false },
    { "exec head -c 300000 /dev/zero", 300000, true },
    { "exec head -c 300000 /dev/zero", 299999, false },
    { "echo", 0, false },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_auto (ChildResult) result = { 0 };
    g_autoptr (GError) error = NULL;
    const bool fits = run_shell (cases[i].script, LONG_MS, cases[i].limit,
                                 &result, &error);

    g_test_message ("%s, limit %" G_GSIZE_FORMAT, cases[i].script,
                    cases[i].limit);
    g_assert_true (fits == cases[i].fits);
    if (!fits)
      g_assert_error (error, CHECKPOINT_ERROR, EFBIG);
    assert_no_children ();
  }
}

/* Each pipe is filled while the other one is not read. */
static void
test_run_both (void)
{
  g_auto (ChildResult) result = { 0 };
  g_autoptr (GError) error = NULL;

  g_assert_true (run_shell (
    "head -c 400000 /dev/zero | tr '\\0' e >&2; "
    "head -c 400000 /dev/zero | tr '\\0' o; "
    "head -c 400000 /dev/zero | tr '\\0' e >&2", LONG_MS, LIMIT, &result,
    &error));
  g_assert_no_error (error);
  g_assert_true (result.ok);
  g_assert_cmpuint (result.out_length, ==, 400000);
  g_assert_cmpuint (strspn (result.out, "o"), ==, 400000);
  g_assert_cmpuint (strspn (result.err, "e"), ==, 800000);
}

static void
test_start_talk (void)
{
  const char *argv[] = { "cat", NULL };
  Child child = CHILD_INIT;
  g_autoptr (GError) error = NULL;

  g_assert_true (child_start (argv, -1, &child, &error));
  g_assert_no_error (error);
  const GPid pid = child.pid;
  g_assert_cmpint (write (child.in, "hello\n", 6), ==, 6);
  wait_for_line (&child, "hello");
  g_assert_cmpint (kill (pid, 0), ==, 0);
  child_stop (&child, LONG_MS);
  assert_stopped (&child, pid);
  /* Twice is fine. */
  child_stop (&child, LONG_MS);
  g_assert_cmpint (child.pid, ==, 0);
}

static void
test_start_missing (void)
{
  const char *argv[] = { "no-such-program-of-this-name", NULL };
  Child child = CHILD_INIT;
  g_autoptr (GError) error = NULL;

  g_assert_false (child_start (argv, -1, &child, &error));
  g_assert_error (error, CHECKPOINT_ERROR, ENOENT);
  g_assert_nonnull (strstr (error->message, argv[0]));
  g_assert_cmpint (child.pid, ==, 0);
  g_assert_cmpint (child.in, ==, -1);
  g_assert_cmpint (child.out, ==, -1);
  child_stop (&child, 1000);
  assert_no_children ();
}

static void
test_start_fd (void)
{
  Child child = CHILD_INIT;
  int fds[2];

  g_assert_cmpint (pipe2 (fds, O_CLOEXEC), ==, 0);
  start_shell ("echo hello >&3", fds[1], &child);
  close (fds[1]);
  g_autofree char *text = read_all (fds[0]);
  g_assert_cmpstr (text, ==, "hello\n");
  close (fds[0]);
  child_stop (&child, LONG_MS);
}

/* The caller's own descriptor may well be number 3.  In a process of its
 * own, for ours may need that number.
 */
static void
test_start_fd_is_3 (void)
{
  int fds[2];

  g_assert_cmpint (pipe2 (fds, O_CLOEXEC), ==, 0);
  const pid_t pid = fork ();
  g_assert_cmpint (pid, >=, 0);
  if (pid == 0) {
    const char *argv[] = { "/bin/sh", "-c", "echo hello >&3", NULL };
    Child child = CHILD_INIT;
    const int high = fcntl (fds[1], F_DUPFD_CLOEXEC, 100);

    dup3 (high, 3, O_CLOEXEC);
    const bool ok = child_start (argv, 3, &child, NULL);
    /* Not to be stopped before it has written. */
    if (ok)
      g_free (read_all (child.out));
    child_stop (&child, LONG_MS);
    _exit (ok ? 0 : 1);
  }
  close (fds[1]);
  g_autofree char *text = read_all (fds[0]);
  int status;
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  g_assert_cmpstr (text, ==, "hello\n");
  close (fds[0]);
}

/* Neither fd 3 unless given, nor a descriptor that somebody forgot to mark
 * close-on-exec: a socket held open by the child would never see its end.
 */
static void
test_start_no_other_fd (void)
{
  Child child = CHILD_INIT;
  const int extra = fcntl (STDOUT_FILENO, F_DUPFD, 50);
  g_autofree char *script = g_strdup_printf (
    "for fd in 0 1 2 3 %d; do "
    "if test -e /proc/self/fd/$fd; then printf $fd.; fi; done; echo", extra);

  g_assert_cmpint (extra, >=, 50);
  start_shell (script, -1, &child);
  wait_for_line (&child, "0.1.2.");
  close (extra);
  child_stop (&child, LONG_MS);
}

static void
test_start_group (void)
{
  Child child = CHILD_INIT;

  start_shell ("exec sleep 30", -1, &child);
  g_assert_cmpint (getpgid (child.pid), ==, child.pid);
  g_assert_cmpint (getpgid (child.pid), !=, getpgrp ());
  child_stop (&child, LONG_MS);
}

static void
test_start_umask (void)
{
  Child child = CHILD_INIT;
  const mode_t before = umask (022);

  start_shell ("umask", -1, &child);
  wait_for_line (&child, "0077");
  g_assert_cmpint (umask (before), ==, 022);
  child_stop (&child, LONG_MS);
}

static void
test_stop_term (void)
{
  Child child = CHILD_INIT;
  int fds[2];

  g_assert_cmpint (pipe2 (fds, O_CLOEXEC), ==, 0);
  start_shell ("trap 'echo bye >&3; exit' TERM; echo ready; "
               "while :; do sleep 0.05; done", fds[1], &child);
  close (fds[1]);
  wait_for_line (&child, "ready");
  const GPid pid = child.pid;
  const gint64 begin = now_ms ();
  child_stop (&child, LONG_MS);
  g_assert_cmpint (now_ms () - begin, <, PATIENCE_MS);
  assert_stopped (&child, pid);
  g_autofree char *text = read_all (fds[0]);
  g_assert_cmpstr (text, ==, "bye\n");
  close (fds[0]);
}

static void
assert_killed_after_grace (const char *script, bool suspend)
{
  const unsigned grace_ms = 300;
  Child child = CHILD_INIT;
  int status;

  start_shell (script, -1, &child);
  wait_for_line (&child, "ready");
  const GPid pid = child.pid;
  if (suspend) {
    g_assert_cmpint (kill (pid, SIGSTOP), ==, 0);
    g_assert_cmpint (waitpid (pid, &status, WUNTRACED), ==, pid);
    g_assert_true (WIFSTOPPED (status));
  }
  const gint64 begin = now_ms ();
  child_stop (&child, grace_ms);
  const gint64 took = now_ms () - begin;
  g_assert_cmpint (took, >=, grace_ms - 5);
  g_assert_cmpint (took, <, PATIENCE_MS);
  assert_stopped (&child, pid);
}

static void
test_stop_kill (void)
{
  assert_killed_after_grace ("trap '' TERM; echo ready; exec sleep 30",
                             false);
  assert_killed_after_grace ("echo ready; exec sleep 30", true);
}

static void
test_stop_no_grace (void)
{
  Child child = CHILD_INIT;

  start_shell ("trap '' TERM; echo ready; exec sleep 30", -1, &child);
  wait_for_line (&child, "ready");
  const GPid pid = child.pid;
  child_stop (&child, 0);
  assert_stopped (&child, pid);
}

/* Our ends are closed first, so that what waits for its input ends too. */
static void
test_stop_closes (void)
{
  Child child = CHILD_INIT;

  start_shell ("trap '' TERM; echo ready; exec cat", -1, &child);
  wait_for_line (&child, "ready");
  const GPid pid = child.pid;
  const gint64 begin = now_ms ();
  child_stop (&child, LONG_MS);
  g_assert_cmpint (now_ms () - begin, <, PATIENCE_MS);
  assert_stopped (&child, pid);
}

static void
test_stop_ended (void)
{
  Child child = CHILD_INIT;

  start_shell ("exit 0", -1, &child);
  const GPid pid = child.pid;
  g_autofree char *text = read_all (child.out);
  g_assert_cmpstr (text, ==, "");
  const gint64 begin = now_ms ();
  child_stop (&child, LONG_MS);
  g_assert_cmpint (now_ms () - begin, <, PATIENCE_MS);
  assert_stopped (&child, pid);
}

/* waitpid with patience; 0 if the process lives on. */
static pid_t
wait_a_while (pid_t pid, int *status)
{
  pid_t ended = 0;

  for (int i = 0; i < PATIENCE_MS / 10 && ended == 0; i++) {
    ended = waitpid (pid, status, WNOHANG);
    if (ended == 0)
      g_usleep (10000);
  }
  return ended;
}

static void
test_dies_with_parent (void)
{
  int fds[2], status;
  pid_t orphan = 0;

  /* Orphans come to us, so that their end can be seen. */
  g_assert_cmpint (prctl (PR_SET_CHILD_SUBREAPER, 1), ==, 0);
  g_assert_cmpint (pipe2 (fds, O_CLOEXEC), ==, 0);
  const pid_t parent = fork ();
  g_assert_cmpint (parent, >=, 0);
  if (parent == 0) {
    const char *argv[] = { "sleep", "30", NULL };
    Child child = CHILD_INIT;
    if (!child_start (argv, -1, &child, NULL)
        || write (fds[1], &child.pid, sizeof child.pid)
        != sizeof child.pid)
      _exit (1);
    _exit (0);
  }
  close (fds[1]);
  g_assert_cmpint (waitpid (parent, &status, 0), ==, parent);
  g_assert_cmpint (status, ==, 0);
  g_assert_cmpint (read (fds[0], &orphan, sizeof orphan), ==, sizeof orphan);
  close (fds[0]);

  const pid_t ended = wait_a_while (orphan, &status);
  if (ended == 0)
    kill (orphan, SIGKILL);
  g_assert_cmpint (ended, ==, orphan);
  g_assert_true (WIFSIGNALED (status));
  g_assert_cmpint (WTERMSIG (status), ==, SIGTERM);
  g_assert_cmpint (prctl (PR_SET_CHILD_SUBREAPER, 0), ==, 0);
}

static guint
count_fds (void)
{
  g_autoptr (GDir) directory = g_dir_open ("/proc/self/fd", 0, NULL);
  guint count = 0;

  g_assert_nonnull (directory);
  while (g_dir_read_name (directory))
    count++;
  return count;
}

static void
test_no_leak (void)
{
  static const struct {
    const char *argv[4];
    unsigned timeout_ms;
    gsize limit;
  } runs[] = {
    { { "true" }, LONG_MS, LIMIT },
    { { "/no/such/program" }, LONG_MS, LIMIT },
    { { "/bin/sh", "-c", "echo; exec sleep 30" }, LONG_MS, 0 },
    { { "sleep", "30" }, 1, LIMIT },
  };
  const guint before = count_fds ();

  for (guint i = 0; i < 200; i++) {
    const guint which = i % G_N_ELEMENTS (runs);
    g_auto (ChildResult) result = { 0 };
    Child child = CHILD_INIT;

    g_assert_true (run (runs[which].argv, runs[which].timeout_ms,
                        runs[which].limit, &result, NULL)
                   == (which == 0));
    g_assert_true (child_start (runs[which].argv, STDERR_FILENO, &child,
                                NULL) == (which != 1));
    child_stop (&child, LONG_MS);
    if (i == 0)
      g_assert_cmpuint (count_fds (), ==, before);
  }
  g_assert_cmpuint (count_fds (), ==, before);
  assert_no_children ();
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_setenv ("MARK", "here", TRUE);

  g_test_add_func ("/child/run/output", test_run_output);
  g_test_add_func ("/child/environment", test_environment);
  g_test_add_func ("/child/run/nothing", test_run_nothing);
  g_test_add_func ("/child/run/status", test_run_status);
  g_test_add_func ("/child/run/stderr", test_run_stderr);
  g_test_add_func ("/child/run/environment", test_run_environment);
  g_test_add_func ("/child/run/missing", test_run_missing);
  g_test_add_func ("/child/run/forbidden", test_run_forbidden);
  g_test_add_func ("/child/run/timeout", test_run_timeout);
  g_test_add_func ("/child/run/timeout-closed", test_run_timeout_closed);
  g_test_add_func ("/child/run/limit", test_run_limit);
  g_test_add_func ("/child/run/both", test_run_both);
  g_test_add_func ("/child/start/talk", test_start_talk);
  g_test_add_func ("/child/start/missing", test_start_missing);
  g_test_add_func ("/child/start/fd", test_start_fd);
  g_test_add_func ("/child/start/fd-is-3", test_start_fd_is_3);
  g_test_add_func ("/child/start/no-other-fd", test_start_no_other_fd);
  g_test_add_func ("/child/start/group", test_start_group);
  g_test_add_func ("/child/start/umask", test_start_umask);
  g_test_add_func ("/child/stop/term", test_stop_term);
  g_test_add_func ("/child/stop/kill", test_stop_kill);
  g_test_add_func ("/child/stop/no-grace", test_stop_no_grace);
  g_test_add_func ("/child/stop/closes", test_stop_closes);
  g_test_add_func ("/child/stop/ended", test_stop_ended);
  g_test_add_func ("/child/dies-with-parent", test_dies_with_parent);
  g_test_add_func ("/child/no-leak", test_no_leak);
  return g_test_run ();
}
