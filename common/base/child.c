/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Runs a child with a guard: a pipe that nobody writes to, of which we hold the
 * writing end, and the child, which must leave it alone, the other.  When our
 * end closes, the kernel kills the child; when the child's does, it has ended.
 * (PR_SET_PDEATHSIG would strike when nbdkit forks into the background and its
 * first process ends.)
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/printable.h"

#define GUARD_FD 4              /* no CHILD_FD */
/* For the end of a killed child: one that waits for a dead disk or file server
 * ends only when that answers.
 */
#define DEATH_MS 2000
#define POLL_MS 5
/* How soon a child that saves is told once more to end. */
#define REMIND_MS 100

char *
child_says (Child *child)
{
  g_autoptr (GString) bytes = g_string_new (NULL);
  char buffer[4096];
  ssize_t n;

  /* No more than a pipe holds, so that one that goes on is not read for ever. */
  while (bytes->len < 65536
         && (n = read (child->err, buffer, sizeof buffer)) > 0)
    g_string_append_len (bytes, buffer, n);
  g_autofree char *text
    = g_utf8_make_valid (bytes->str, (gssize) bytes->len);
  g_strstrip (text);
  printable_make (text);
  return *text ? g_steal_pointer (&text) : NULL;
}

/* Tell the child that it shall save and end, once the guard hangs up, until
 * it has ended: QEMU 7.2 may sleep on after a SIGTERM that comes while it
 * goes to sleep.  Ends with the child, by the kernel.
 */
static G_NORETURN void
remind (pid_t child)
{
  const struct timespec pause = { .tv_nsec = REMIND_MS * 1000000L };
  struct pollfd guard = { .fd = GUARD_FD };
  sigset_t all;

  sigfillset (&all);
  sigprocmask (SIG_SETMASK, &all, NULL);
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  /* What others wait for the end of: pipes, and images that are locked. */
  close_range (0, GUARD_FD - 1, 0);
  close_range (GUARD_FD + 1, ~0U, 0);
  while (getppid () == child) {
    if (poll (&guard, 1, -1) > 0)
      kill (child, SIGTERM);
    nanosleep (&pause, NULL);
  }
  _exit (EXIT_SUCCESS);
}

/* Runs between fork and exec: only async-signal-safe calls.  data: how it is
 * ended.  SIGKILL where that does no harm, for the reason that remind has.
 */
static void
live_beside_us (gpointer data)
{
  const bool saves = GPOINTER_TO_INT (data) == CHILD_SAVES;
  struct pollfd guard = { .fd = GUARD_FD };

  setpgid (0, 0);
  umask (077);
  if (saves) {
    /* Beyond ulimit -f, writing fails, and it lives on. */
    signal (SIGXFSZ, SIG_IGN);
    const pid_t child = getpid ();
    const pid_t reminder = fork ();
    if (reminder == 0)
      remind (child);
    if (reminder < 0)
      _exit (EXIT_FAILURE);
  }
#ifdef F_SETSIG
  fcntl (GUARD_FD, F_SETOWN, getpid ());
  fcntl (GUARD_FD, F_SETSIG, saves ? SIGTERM : SIGKILL);
  fcntl (GUARD_FD, F_SETFL, O_ASYNC);
#endif
  /* The guard may have hung up before the line above, if descriptor 4 was our
   * end of it.  If not, exec closes that end, and the signal comes then.
   */
  if (poll (&guard, 1, 0) > 0)
    _exit (EXIT_FAILURE);
}

static bool
spawn_failed (const char *program, const GError *spawn_error, GError **error)
{
  const bool absent
    = g_error_matches (spawn_error, G_SPAWN_ERROR, G_SPAWN_ERROR_NOENT);
  const bool denied
    = g_error_matches (spawn_error, G_SPAWN_ERROR, G_SPAWN_ERROR_ACCES);

  return error_set (error, absent ? ENOENT : denied ? EACCES : EAGAIN,
                    "cannot run %s: %s; %s", program, spawn_error->message,
                    absent ? "is it installed?"
                    : denied ? "may this user run it?"
                    : "is the machine out of processes, files or memory?");
}

/* Huge pages spare QEMU page faults: it walks all of a dirty bitmap when it
 * opens an image (hbitmap_deserialize_finish; 32 MiB for 16 TiB at 64 KiB).
 * Source: glibc manual, "Memory Allocation Tunables", glibc.malloc.hugetlb
 * (since 2.35); other C libraries do not know the variable.
 */
static GStrv
child_environment (void)
{
  static const char huge_pages[] = "glibc.malloc.hugetlb=1";
  const char *tunables = g_getenv ("GLIBC_TUNABLES");
  /* The user's own come last, and so win. */
  g_autofree char *value = tunables && *tunables
    ? g_strconcat (huge_pages, ":", tunables, NULL) : g_strdup (huge_pages);
  GStrv environment
    = g_environ_setenv (g_get_environ (), "LC_ALL", "C", TRUE);

  return g_environ_setenv (environment, "GLIBC_TUNABLES", value, TRUE);
}

bool
child_start (const char *const *argv, const int *pass_fds, guint count,
             ChildEnd end, Child *child, GError **error)
{
  g_auto (GStrv) environment = child_environment ();
  g_autoptr (GError) spawn_error = NULL;
  g_autofree int *sources = g_new (int, count + 1);
  g_autofree int *targets = g_new (int, count + 1);
  int guard[2] = { -1, -1 }, err[2] = { -1, -1 };
  /* What we run beside it, as --run's command, must not get its monitor. */
  const GSpawnFlags flags = G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD
    | G_SPAWN_CLOEXEC_PIPES;

  if (pipe2 (guard, O_CLOEXEC) < 0
      || pipe2 (err, O_CLOEXEC | O_NONBLOCK) < 0) {
    error_set (error, errno, "cannot run %s: %s", argv[0],
               g_strerror (errno));
    close_fd (&guard[0]);
    close_fd (&guard[1]);
    return false;
  }
  for (guint i = 0; i < count; i++) {
    sources[i] = pass_fds[i];
    targets[i] = CHILD_FD (i);
  }
  sources[count] = guard[0];
  targets[count] = GUARD_FD;
  const bool ok = g_spawn_async_with_pipes_and_fds (
    "/", argv, (const char *const *) environment, flags, live_beside_us,
    GINT_TO_POINTER (end), -1, -1, err[1], sources, targets, count + 1,
    &child->pid, &child->in, &child->out, NULL, &spawn_error);
  close_fd (&guard[0]);
  close_fd (&err[1]);
  child->guard = guard[1];
  child->err = err[0];
  child->saves = end == CHILD_SAVES;
  if (ok)
    return true;
  close_fd (&child->guard);
  close_fd (&child->err);
  return spawn_failed (argv[0], spawn_error, error);
}

/* False if it has not ended by the deadline (monotonic, microseconds). */
static bool
wait_for_end (const Child *child, gint64 deadline)
{
  struct pollfd guard = { .fd = child->guard };
  gint64 left;

  /* CLAMP evaluates more than once, and a negative time is for ever. */
  do
    left = (deadline - g_get_monotonic_time ()) / 1000 + 1;
  while (poll (&guard, 1, (int) CLAMP (left, 0, G_MAXINT)) < 0
         && errno == EINTR);
  return guard.revents != 0;
}

/* A moment passes between the closing of its files and its end.  If we have
 * forked since, it is not ours to reap.
 */
static void
reap (const Child *child, gint64 deadline)
{
  pid_t reaped;

  do
    reaped = waitpid (child->pid, NULL, WNOHANG);
  while ((reaped == 0 || (reaped < 0 && errno == EINTR))
         && g_get_monotonic_time () < deadline
         && (g_usleep (POLL_MS * 1000), true));
}

/* False if it saves still.  It is told again, as by remind, which may have been
 * killed.
 */
static bool
wait_for_saved (const Child *child, gint64 deadline)
{
  bool ended = wait_for_end (child, 0);

  while (!ended && g_get_monotonic_time () < deadline) {
    const gint64 again = g_get_monotonic_time () + REMIND_MS * 1000LL;
    ended = wait_for_end (child, MIN (deadline, again));
    if (!ended)
      kill (child->pid, SIGTERM);
  }
  return ended;
}

bool
child_stop (Child *child, unsigned grace_ms)
{
  if (child->pid == 0)
    return true;
  const gint64 deadline = g_get_monotonic_time () + grace_ms * 1000LL;
  /* Once it has ended, its number may be another's, if others have reaped it. */
  if (!wait_for_end (child, 0))
    kill (child->pid, SIGTERM);
  close_fd (&child->in);
  close_fd (&child->out);
  const bool saved = !child->saves || wait_for_saved (child, deadline);
  if (!child->saves && !wait_for_end (child, deadline))
    kill (child->pid, SIGKILL);
  if (saved)
    reap (child, MAX (deadline, g_get_monotonic_time ()) + DEATH_MS * 1000LL);
  child_disown (child);
  return saved;
}

void
child_disown (Child *child)
{
  close_fd (&child->in);
  close_fd (&child->out);
  close_fd (&child->err);
  close_fd (&child->guard);
  child->pid = 0;
}
