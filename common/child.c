/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * g_spawn with bounds: GLib's own synchronous variant waits for ever and
 * keeps whatever it is sent, and GSubprocess starts threads, which nbdkit
 * plugins must not do before the server has forked.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "child.h"
#include "error.h"

#define PASSED_FD 3

void
child_result_clear (ChildResult *result)
{
  g_clear_pointer (&result->out, g_free);
  g_clear_pointer (&result->err, g_free);
}

static void
close_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

/* One pipe being read to its end. */
typedef struct {
  int fd;
  GByteArray *bytes;
} Stream;

/* False when the stream holds more than limit bytes. */
static bool
stream_read (Stream *stream, gsize limit)
{
  guint8 buffer[65536];
  ssize_t n = read (stream->fd, buffer, sizeof buffer);

  if (n < 0 && (errno == EINTR || errno == EAGAIN))
    return true;
  if (n <= 0) {
    close_fd (&stream->fd);
    return true;
  }
  if (stream->bytes->len + (gsize) n > limit)
    return false;
  g_byte_array_append (stream->bytes, buffer, (guint) n);
  return true;
}

/* Read both until both end.  0, or the errno of what went wrong. */
static int
streams_drain (Stream streams[2], gint64 deadline, gsize limit)
{
  while (streams[0].fd >= 0 || streams[1].fd >= 0) {
    struct pollfd fds[2] = {
      { .fd = streams[0].fd, .events = POLLIN },
      { .fd = streams[1].fd, .events = POLLIN },
    };
    const gint64 left = (deadline - g_get_monotonic_time ()) / 1000;

    if (left <= 0)
      return ETIMEDOUT;
    if (poll (fds, 2, (int) MIN (left, G_MAXINT)) < 0 && errno != EINTR)
      return errno;
    for (int i = 0; i < 2; i++)
      if (fds[i].fd >= 0 && fds[i].revents
          && !stream_read (&streams[i], limit))
        return EFBIG;
  }
  return 0;
}

/* Programs print several lines where one is wanted in a log. */
static char *
one_line (const GByteArray *bytes)
{
  g_autofree char *text
    = bytes->len > 0 ? g_utf8_make_valid ((const char *) bytes->data,
                                          (gssize) bytes->len)
    : g_strdup ("");

  g_strstrip (text);
  for (char *p = text; *p; p++)
    if (g_ascii_iscntrl (*p))
      *p = ' ';
  return *text ? g_steal_pointer (&text) : g_strdup ("it says nothing");
}

/* Wait for the end of a child, which may have closed its outputs long before.
 * False when it still runs at the deadline (monotonic, microseconds).
 */
static bool
reap (GPid pid, gint64 deadline, int *status)
{
  *status = -1;
  while (waitpid (pid, status, WNOHANG) == 0) {
    if (g_get_monotonic_time () >= deadline)
      return false;
    g_usleep (500);
  }
  return true;
}

static void
kill_and_reap (GPid pid)
{
  kill (pid, SIGKILL);
  while (waitpid (pid, NULL, 0) < 0 && errno == EINTR)
    ;
}

/* Runs between fork and exec, as the next: only async-signal-safe calls. */
static void
die_with_parent (gpointer data)
{
  const pid_t *parent = data;

#ifdef __linux__
  prctl (PR_SET_PDEATHSIG, SIGTERM);
  /* The parent may have died before the line above. */
  if (getppid () != *parent)
    _exit (EXIT_FAILURE);
#endif
}

static void
live_beside_parent (gpointer data)
{
  setpgid (0, 0);
  umask (077);
  die_with_parent (data);
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

/* In the C locale, and with huge pages where the machine offers them: QEMU
 * walks all of a dirty bitmap when it opens an image (hbitmap_deserialize_finish,
 * 32 MiB for 16 TiB at 64 KiB), and would fault in each page of it.  Source:
 * glibc manual, "Memory Allocation Tunables", glibc.malloc.hugetlb (since
 * 2.35); other C libraries do not know the variable.
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
child_run_begin (const char *const *argv, ChildRun *run, GError **error)
{
  g_auto (GStrv) environment = child_environment ();
  g_autoptr (GError) spawn_error = NULL;
  pid_t self = getpid ();

  run->program = argv[0];
  if (!g_spawn_async_with_pipes (NULL, (char **) argv, environment,
                                 G_SPAWN_SEARCH_PATH
                                 | G_SPAWN_DO_NOT_REAP_CHILD,
                                 die_with_parent, &self, &run->pid, NULL,
                                 &run->out, &run->err, &spawn_error))
    return spawn_failed (argv[0], spawn_error, error);
  return true;
}

bool
child_run_end (ChildRun *run, unsigned timeout_ms, gsize limit,
               ChildResult *result, GError **error)
{
  g_autoptr (GByteArray) out = g_byte_array_new ();
  g_autoptr (GByteArray) err = g_byte_array_new ();
  Stream streams[2] = { { run->out, out }, { run->err, err } };
  const gint64 deadline = g_get_monotonic_time () + timeout_ms * 1000LL;

  int status = -1;
  int failure = streams_drain (streams, deadline, limit);
  if (!failure && !reap (run->pid, deadline, &status))
    failure = ETIMEDOUT;
  if (failure)
    kill_and_reap (run->pid);
  close_fd (&streams[0].fd);
  close_fd (&streams[1].fd);

  if (failure == ETIMEDOUT)
    return error_set (error, failure, "%s did not end within %u s and was "
                      "stopped; does its storage answer?", run->program,
                      timeout_ms / 1000);
  if (failure)
    return error_set (error, failure, "cannot read what %s prints: %s",
                      run->program, g_strerror (failure));
  result->ok = WIFEXITED (status) && WEXITSTATUS (status) == 0;
  result->err = one_line (err);
  result->out_length = out->len;
  g_byte_array_append (out, (const guint8 *) "", 1);
  result->out = (char *) g_byte_array_free (g_steal_pointer (&out), FALSE);
  return true;
}

bool
child_start (const char *const *argv, int pass_fd, Child *child,
             GError **error)
{
  g_auto (GStrv) environment = child_environment ();
  g_autoptr (GError) spawn_error = NULL;
  const int target_fd = PASSED_FD;
  pid_t self = getpid ();

  if (!g_spawn_async_with_pipes_and_fds (NULL, argv,
                                         (const char *const *) environment,
                                         G_SPAWN_SEARCH_PATH
                                         | G_SPAWN_DO_NOT_REAP_CHILD,
                                         live_beside_parent, &self,
                                         -1, -1, -1,
                                         &pass_fd, &target_fd,
                                         pass_fd >= 0 ? 1 : 0, &child->pid,
                                         &child->in, &child->out, NULL,
                                         &spawn_error))
    return spawn_failed (argv[0], spawn_error, error);
  return true;
}

void
child_stop (Child *child, unsigned grace_ms)
{
  if (child->pid == 0)
    return;
  kill (child->pid, SIGTERM);
  close_fd (&child->in);
  close_fd (&child->out);
  int status;
  if (!reap (child->pid, g_get_monotonic_time () + grace_ms * 1000LL,
             &status))
    kill_and_reap (child->pid);
  child->pid = 0;
}
