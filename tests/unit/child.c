/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/base/child.c with real programs: those that hang, flood, ignore
 * SIGTERM or are left behind, and that change hands as nbdkit forks.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "base/child.h"
#include "base/error.h"

#define LONG_MS 20000
/* For what should take no time, on the slowest of machines. */
#define PATIENCE_MS 4000
#define GRACE_MS 300
/* What a pipe holds, and one buffer. */
#define SAYS_MAX (65536 + 4096)

/* Neither ends when its input does. */
#define ECHO "echo ready; while read x; do echo $x; done; exec sleep 10"
#define STUBBORN "trap '' TERM; echo ready; exec sleep 10"

static gint64
now_ms (void)
{
  return g_get_monotonic_time () / 1000;
}

static void
start_shell (const char *script, int pass_fd, Child *child)
{
  const char *argv[] = { "/bin/sh", "-c", script, NULL };
  g_autoptr (GError) error = NULL;

  g_assert_true (child_start (argv, &pass_fd, pass_fd >= 0,
                              CHILD_KILLED, child, &error));
  g_assert_no_error (error);
  g_assert_cmpint (child->pid, >, 0);
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

static GPid
start_ready (const char *script, Child *child)
{
  start_shell (script, -1, child);
  wait_for_line (child, "ready");
  return child->pid;
}

static void
tell (const Child *child, const char *text)
{
  const gssize length = (gssize) strlen (text);

  g_assert_cmpint (write (child->in, text, (gsize) length), ==, length);
}

static void
assert_no_children (void)
{
  errno = 0;
  g_assert_cmpint (waitpid (-1, NULL, WNOHANG), ==, -1);
  g_assert_cmpint (errno, ==, ECHILD);
}

static void
assert_stopped (const Child *child)
{
  g_assert_cmpint (child->pid, ==, 0);
  g_assert_cmpint (child->in, ==, -1);
  g_assert_cmpint (child->out, ==, -1);
  g_assert_cmpint (child->err, ==, -1);
  g_assert_cmpint (child->guard, ==, -1);
}

static void
stop_quickly (Child *child)
{
  const gint64 begin = now_ms ();

  child_stop (child, LONG_MS);
  g_assert_cmpint (now_ms () - begin, <, PATIENCE_MS);
  assert_stopped (child);
}

static void
stop_after_grace (Child *child)
{
  const gint64 begin = now_ms ();

  child_stop (child, GRACE_MS);
  const gint64 took = now_ms () - begin;
  g_assert_cmpint (took, >=, GRACE_MS - 5);
  g_assert_cmpint (took, <, PATIENCE_MS);
  assert_stopped (child);
}

static void
assert_gone (GPid pid)
{
  g_assert_cmpint (kill (pid, 0), ==, -1);
  g_assert_cmpint (errno, ==, ESRCH);
  assert_no_children ();
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
test_start_talk (void)
{
  const char *argv[] = { "cat", NULL };
  Child child = CHILD_INIT;
  g_autoptr (GError) error = NULL;

  g_assert_true (child_start (argv, NULL, 0, CHILD_KILLED, &child, &error));
  g_assert_no_error (error);
  const GPid pid = child.pid;
  tell (&child, "hello\n");
  wait_for_line (&child, "hello");
  g_assert_cmpint (kill (pid, 0), ==, 0);
  stop_quickly (&child);
  assert_gone (pid);
  /* Twice is fine. */
  stop_quickly (&child);
}

static void
assert_prints (const char *script, const char *expected)
{
  Child child = CHILD_INIT;

  start_shell (script, -1, &child);
  wait_for_line (&child, expected);
  stop_quickly (&child);
}

/* What the user set comes last, so it wins. */
static void
test_start_environment (void)
{
  static const struct { const char *set, *expected; } rows[] = {
    { "", "C here glibc.malloc.hugetlb=1" },
    { "glibc.malloc.hugetlb=0",
      "C here glibc.malloc.hugetlb=1:glibc.malloc.hugetlb=0" },
    { NULL, "C here glibc.malloc.hugetlb=1" },
  };
  g_autofree char *before = g_strdup (g_getenv ("GLIBC_TUNABLES"));

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    if (rows[i].set)
      g_setenv ("GLIBC_TUNABLES", rows[i].set, TRUE);
    else
      g_unsetenv ("GLIBC_TUNABLES");
    assert_prints ("echo \"$LC_ALL $MARK $GLIBC_TUNABLES\"",
                   rows[i].expected);
    g_assert_cmpstr (g_getenv ("GLIBC_TUNABLES"), ==, rows[i].set);
    g_assert_cmpstr (g_getenv ("LC_ALL"), ==, "de_DE.UTF-8");
  }
  if (before)
    g_setenv ("GLIBC_TUNABLES", before, TRUE);
}

static void
assert_cannot_start (const char *program, int expected)
{
  const char *argv[] = { program, NULL };
  Child child = CHILD_INIT;
  g_autoptr (GError) error = NULL;

  g_assert_false (child_start (argv, NULL, 0, CHILD_KILLED, &child, &error));
  g_assert_error (error, CHECKPOINT_ERROR, expected);
  g_assert_nonnull (strstr (error->message, program));
  assert_stopped (&child);
  g_assert_false (child_start (argv, NULL, 0, CHILD_KILLED, &child, NULL));
  stop_quickly (&child);
  assert_no_children ();
}

static void
test_start_missing (void)
{
  assert_cannot_start ("no-such-program-of-this-name", ENOENT);
  assert_cannot_start ("/no/such/program", ENOENT);
}

/* Installed, but not to be run: another errno, as child.h says. */
static void
test_start_forbidden (void)
{
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;
  const int fd = g_file_open_tmp ("unit-child-XXXXXX", &path, &error);

  g_assert_no_error (error);
  close (fd);
  g_assert_cmpint (chmod (path, 0600), ==, 0);
  assert_cannot_start (path, EACCES);
  g_assert_cmpint (g_unlink (path), ==, 0);
}

/* Whichever descriptor is the one too many. */
static void
test_start_no_fds (void)
{
  const char *argv[] = { "true", NULL };
  const guint before = count_fds ();
  struct rlimit limit;
  int failures = 0;

  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &limit), ==, 0);
  for (rlim_t n = 3; n < 100; n++) {
    const struct rlimit low = { n, limit.rlim_max };
    Child child = CHILD_INIT;
    g_autoptr (GError) error = NULL;

    g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &low), ==, 0);
    const bool ok = child_start (argv, NULL, 0, CHILD_KILLED, &child, &error);
    g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &limit), ==, 0);
    if (!ok) {
      failures++;
      g_assert_true (error->code == EMFILE || error->code == EAGAIN);
      assert_stopped (&child);
    }
    stop_quickly (&child);
    g_assert_cmpuint (count_fds (), ==, before);
  }
  g_assert_cmpint (failures, >=, 8);
  assert_no_children ();
}

/* The caller's own descriptors, of which the guard is one, may well have the
 * numbers that the child's shall have.
 */
static void
test_start_fd (void)
{
  static const int numbers[] = { 3, 4, 200 };

  for (gsize i = 0; i < G_N_ELEMENTS (numbers); i++) {
    int fds[2], status;

    g_assert_cmpint (pipe2 (fds, O_CLOEXEC), ==, 0);
    /* In a process of its own, for ours may need these numbers. */
    const pid_t pid = fork ();
    g_assert_cmpint (pid, >=, 0);
    if (pid == 0) {
      Child child = CHILD_INIT;
      const int high = fcntl (fds[1], F_DUPFD_CLOEXEC, 100);

      close (3);
      close (4);
      dup3 (high, numbers[i], O_CLOEXEC);
      start_shell ("echo hello >&3; echo ready", numbers[i], &child);
      wait_for_line (&child, "ready");
      stop_quickly (&child);
      _exit (0);
    }
    close (fds[1]);
    g_autofree char *text = read_all (fds[0]);
    g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
    g_assert_cmpint (status, ==, 0);
    g_assert_cmpstr (text, ==, "hello\n");
    close (fds[0]);
  }
}

/* The guard, but neither fd 3 unless given, nor a descriptor that somebody
 * forgot to mark close-on-exec: a socket held open by the child would never
 * see its end.
 */
static void
test_start_no_other_fd (void)
{
  const int extra = fcntl (STDOUT_FILENO, F_DUPFD, 50);
  g_autofree char *script = g_strdup_printf (
    "for fd in 0 1 2 3 4 %d; do "
    "if test -e /proc/self/fd/$fd; then printf $fd.; fi; done; echo", extra);

  g_assert_cmpint (extra, >=, 50);
  assert_prints (script, "0.1.2.4.");
  close (extra);
}

/* Both ends of a pipe have one name. */
static void
assert_pipe (GPid pid, int fd, int our_end)
{
  g_autofree char *its = g_strdup_printf ("/proc/%d/fd/%d", pid, fd);
  g_autofree char *ours = g_strdup_printf ("/proc/self/fd/%d", our_end);
  g_autofree char *its_name = g_file_read_link (its, NULL);
  g_autofree char *our_name = g_file_read_link (ours, NULL);

  g_assert_nonnull (its_name);
  g_assert_true (g_str_has_prefix (its_name, "pipe:"));
  g_assert_cmpstr (its_name, ==, our_name);
}

/* No terminal of ours, nor what our standard error leads to. */
static void
test_start_pipes (void)
{
  Child child = CHILD_INIT;

  start_shell ("exec sleep 30", -1, &child);
  assert_pipe (child.pid, 0, child.in);
  assert_pipe (child.pid, 1, child.out);
  assert_pipe (child.pid, 2, child.err);
  stop_quickly (&child);
}

static void
test_start_group (void)
{
  Child child = CHILD_INIT;

  start_shell ("exec sleep 30", -1, &child);
  g_assert_cmpint (getpgid (child.pid), ==, child.pid);
  g_assert_cmpint (getpgid (child.pid), !=, getpgrp ());
  stop_quickly (&child);
}

static void
test_start_umask (void)
{
  const mode_t before = umask (022);

  assert_prints ("umask", "0077");
  g_assert_cmpint (umask (before), ==, 022);
}

static void
test_start_folder (void)
{
  assert_prints ("pwd -P", "/");
}

static gpointer
start_echo (gpointer child)
{
  start_ready (ECHO, child);
  return NULL;
}

/* It is bound to processes, not to the thread that called. */
static void
test_start_thread (void)
{
  Child child = CHILD_INIT;

  g_thread_join (g_thread_new ("starter", start_echo, &child));
  g_usleep (100000);
  tell (&child, "hello\n");
  wait_for_line (&child, "hello");
  stop_quickly (&child);
}

static void
test_says_one_line (void)
{
  static const struct { const char *script, *expected; } cases[] = {
    { "printf ' one\\ntwo\\r\\n\\n' >&2", "one two" },
    { "printf 'a\\tb\\033[31mc\\177d' >&2", "a b?[31mc?d" },
    { "printf 'x\\377y\\302' >&2", "x\357\277\275y\357\277\275" },
    { "printf 'x\\000y\\n' >&2", "x\357\277\275y" },
    { "printf '\\303\\274ber\\n' >&2", "\303\274ber" },
    { "echo one >&2; echo two; echo three >&2; exit 3", "one three" },
    { "echo killed >&2; kill -9 $$", "killed" },
    { "echo out", NULL },
    { "printf ' \\n\\n' >&2", NULL },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    Child child = CHILD_INIT;

    start_shell (cases[i].script, -1, &child);
    /* It has ended then. */
    g_autofree char *out = read_all (child.out);
    g_autofree char *text = child_says (&child);
    g_assert_cmpstr (text, ==, cases[i].expected);
    g_assert_true (!text || g_utf8_validate (text, -1, NULL));
    stop_quickly (&child);
    g_assert_null (child_says (&child));
  }
}

/* It is never waited for, though it lives. */
static void
test_says_new (void)
{
  static const char *const words[] = { "one", NULL, "two", "three", NULL };
  Child child = CHILD_INIT;

  start_shell ("while read x; do test -z \"$x\" || echo $x >&2; echo ready; "
               "done", -1, &child);
  g_assert_null (child_says (&child));
  for (gsize i = 0; i < G_N_ELEMENTS (words); i++) {
    if (words[i])
      tell (&child, words[i]);
    tell (&child, "\n");
    wait_for_line (&child, "ready");
    g_autofree char *text = child_says (&child);
    g_assert_cmpstr (text, ==, words[i]);
  }
  stop_quickly (&child);
}

/* Nobody reads the 1 MiB, which does not hold it up. */
static void
test_says_flood (void)
{
  Child child = CHILD_INIT;

  start_shell ("line=$(printf %01023d 0); i=0; while test $i -lt 1024; do "
               "echo $line >&2; i=$((i + 1)); done; echo done; exec cat",
               -1, &child);
  wait_for_line (&child, "done");
  g_autofree char *text = child_says (&child);
  g_assert_nonnull (text);
  g_assert_true (g_str_has_prefix (text, "000"));
  g_assert_cmpuint (strlen (text), <=, SAYS_MAX);
  g_assert_null (child_says (&child));
  stop_quickly (&child);
}

/* A larger pipe stands for a child that writes as fast as one reads. */
static void
test_says_limit (void)
{
  Child child = CHILD_INIT;
  gsize total = 0;

  start_shell ("read go; head -c 200000 /dev/zero | tr '\\0' e >&2; "
               "echo done; exec cat", -1, &child);
  if (fcntl (child.err, F_SETPIPE_SZ, 262144) < 262144)
    g_test_skip ("no larger pipes for this user");
  else {
    tell (&child, "\n");
    wait_for_line (&child, "done");
    for (char *text; (text = child_says (&child)); g_free (text)) {
      g_assert_cmpuint (strlen (text), >, 0);
      g_assert_cmpuint (strlen (text), <=, SAYS_MAX);
      g_assert_cmpuint (strspn (text, "e"), ==, strlen (text));
      total += strlen (text);
    }
    g_assert_cmpuint (total, ==, 200000);
  }
  stop_quickly (&child);
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
  stop_quickly (&child);
  assert_gone (pid);
  g_autofree char *text = read_all (fds[0]);
  g_assert_cmpstr (text, ==, "bye\n");
  close (fds[0]);
}

static void
test_stop_kill (void)
{
  static const char *const scripts[] = {
    STUBBORN, "echo ready; kill -STOP $$",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (scripts); i++) {
    Child child = CHILD_INIT;
    int status;

    const GPid pid = start_ready (scripts[i], &child);
    if (i == 1) {
      g_assert_cmpint (waitpid (pid, &status, WUNTRACED), ==, pid);
      g_assert_true (WIFSTOPPED (status));
    }
    stop_after_grace (&child);
    assert_gone (pid);
  }
}

static void
test_stop_no_grace (void)
{
  Child child = CHILD_INIT;

  const GPid pid = start_ready (STUBBORN, &child);
  child_stop (&child, 0);
  assert_stopped (&child);
  assert_gone (pid);
}

/* Our ends are closed first, so that what waits for its input ends too. */
static void
test_stop_closes (void)
{
  Child child = CHILD_INIT;

  const GPid pid
    = start_ready ("trap '' TERM; echo ready; exec cat", &child);
  stop_quickly (&child);
  assert_gone (pid);
}

static void
test_stop_ended (void)
{
  Child child = CHILD_INIT;

  start_shell ("exit 0", -1, &child);
  const GPid pid = child.pid;
  g_autofree char *text = read_all (child.out);
  g_assert_cmpstr (text, ==, "");
  stop_quickly (&child);
  assert_gone (pid);
}

/* Another process has its number by now: the bystander, which is no child of
 * the one that stops it.
 */
static void
test_stop_reaped (void)
{
  const pid_t bystander = fork ();
  int status;

  g_assert_cmpint (bystander, >=, 0);
  if (bystander == 0) {
    sleep (LONG_MS / 1000);
    _exit (0);
  }
  const pid_t stopper = fork ();
  g_assert_cmpint (stopper, >=, 0);
  if (stopper == 0) {
    Child child = CHILD_INIT;

    start_shell ("exit 0", -1, &child);
    g_assert_cmpint (waitpid (child.pid, NULL, 0), ==, child.pid);
    child.pid = bystander;
    stop_quickly (&child);
    _exit (0);
  }
  g_assert_cmpint (waitpid (stopper, &status, 0), ==, stopper);
  g_assert_cmpint (status, ==, 0);
  kill (bystander, SIGKILL);
  g_assert_cmpint (waitpid (bystander, &status, 0), ==, bystander);
  g_assert_cmpint (WTERMSIG (status), ==, SIGKILL);
}

/* A process that starts the child, and ends as hold does; or it forks another
 * one that holds the child when the first has ended, as nbdkit does to go into
 * the background.
 */
static G_NORETURN void
start_and_hold (const char *script, bool forks, void (*hold) (Child *),
                int report)
{
  const pid_t self = getpid ();
  Child child = CHILD_INIT;

  const GPid pid = start_ready (script, &child);
  g_assert_cmpint (write (report, &pid, sizeof pid), ==, sizeof pid);
  if (forks && fork () != 0)
    _exit (0);
  while (forks && getppid () == self)
    g_usleep (1000);
  hold (&child);
  _exit (0);
}

/* By which signals the child ends, and the process that held it (0: none). */
static void
assert_ends (const char *script, bool forks, void (*hold) (Child *),
             int child_signal, int holder_signal)
{
  const gint64 begin = now_ms ();
  int fds[2], status, child_status = 0, other_status = 0;
  pid_t pid, child;

  /* Orphans come to us, so that their end can be seen. */
  g_assert_cmpint (prctl (PR_SET_CHILD_SUBREAPER, 1), ==, 0);
  g_assert_cmpint (pipe2 (fds, O_CLOEXEC), ==, 0);
  pid = fork ();
  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    start_and_hold (script, forks, hold, fds[1]);
  close (fds[1]);
  g_assert_cmpint (read (fds[0], &child, sizeof child), ==, sizeof child);
  close (fds[0]);
  while ((pid = waitpid (-1, &status, 0)) > 0)
    if (pid == child)
      child_status = status;
    else
      other_status |= status;   /* 0 of the starter if it forks */
  g_assert_cmpint (prctl (PR_SET_CHILD_SUBREAPER, 0), ==, 0);
  g_assert_cmpint (other_status, ==, holder_signal);
  g_assert_true (WIFSIGNALED (child_status));
  g_assert_cmpint (WTERMSIG (child_status), ==, child_signal);
  g_assert_cmpint (now_ms () - begin, <, PATIENCE_MS);
}

static void
hold_and_exit (Child *child)
{
  (void) child;
}

static void
hold_and_die (Child *child)
{
  (void) child;
  raise (SIGKILL);
}

static void
hold_and_talk (Child *child)
{
  g_usleep (200000);
  tell (child, "hello\n");
  wait_for_line (child, "hello");
  raise (SIGKILL);
}

static void
test_dies_with_holder (void)
{
  assert_ends (ECHO, false, hold_and_exit, SIGKILL, 0);
  assert_ends (STUBBORN, false, hold_and_exit, SIGKILL, 0);
  assert_ends (ECHO, false, hold_and_die, SIGKILL, SIGKILL);
}

static void
test_outlives_starter (void)
{
  assert_ends (ECHO, true, hold_and_talk, SIGKILL, SIGKILL);
}

static void
test_stop_by_other (void)
{
  assert_ends (ECHO, true, stop_quickly, SIGTERM, 0);
  assert_ends (STUBBORN, true, stop_after_grace, SIGKILL, 0);
}

static void
test_no_leak (void)
{
  static const struct {
    const char *argv[4];
    bool starts;
  } runs[] = {
    { { "true" }, true },
    { { "/no/such/program" }, false },
    { { "/bin/sh", "-c", "echo; echo >&2; exec sleep 30" }, true },
    { { "sleep", "30" }, true },
  };
  const guint before = count_fds ();

  for (guint i = 0; i < 200; i++) {
    const guint which = i % G_N_ELEMENTS (runs);
    Child child = CHILD_INIT;

    g_assert_true (child_start (runs[which].argv,
                                (const int[]) { STDERR_FILENO }, i % 3 != 0,
                                CHILD_KILLED,
                                &child, NULL) == runs[which].starts);
    g_free (child_says (&child));
    stop_quickly (&child);
    g_assert_cmpuint (count_fds (), ==, before);
  }
  assert_no_children ();
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_setenv ("MARK", "here", TRUE);
  g_setenv ("LC_ALL", "de_DE.UTF-8", TRUE);

  g_test_add_func ("/child/start/talk", test_start_talk);
  g_test_add_func ("/child/start/environment", test_start_environment);
  g_test_add_func ("/child/start/missing", test_start_missing);
  g_test_add_func ("/child/start/forbidden", test_start_forbidden);
  g_test_add_func ("/child/start/no-fds", test_start_no_fds);
  g_test_add_func ("/child/start/fd", test_start_fd);
  g_test_add_func ("/child/start/no-other-fd", test_start_no_other_fd);
  g_test_add_func ("/child/start/pipes", test_start_pipes);
  g_test_add_func ("/child/start/group", test_start_group);
  g_test_add_func ("/child/start/umask", test_start_umask);
  g_test_add_func ("/child/start/folder", test_start_folder);
  g_test_add_func ("/child/start/thread", test_start_thread);
  g_test_add_func ("/child/says/one-line", test_says_one_line);
  g_test_add_func ("/child/says/new", test_says_new);
  g_test_add_func ("/child/says/flood", test_says_flood);
  g_test_add_func ("/child/says/limit", test_says_limit);
  g_test_add_func ("/child/stop/term", test_stop_term);
  g_test_add_func ("/child/stop/kill", test_stop_kill);
  g_test_add_func ("/child/stop/no-grace", test_stop_no_grace);
  g_test_add_func ("/child/stop/closes", test_stop_closes);
  g_test_add_func ("/child/stop/ended", test_stop_ended);
  g_test_add_func ("/child/stop/reaped", test_stop_reaped);
  g_test_add_func ("/child/stop/by-other", test_stop_by_other);
  g_test_add_func ("/child/dies-with-holder", test_dies_with_holder);
  g_test_add_func ("/child/outlives-starter", test_outlives_starter);
  g_test_add_func ("/child/no-leak", test_no_leak);
  return g_test_run ();
}
