/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "tool/report-file.h"

static bool
cannot_write (const char *path, GError **error)
{
  return error_set (error, errno, "cannot write %s: %s", path,
                    g_strerror (errno));
}

static bool
is_another (const char *path, const char *what, GError **error)
{
  return error_set (error, EEXIST, "%s is there, and is %s: it is not written "
                    "over; name another file", path, what);
}

/* An empty file is mktemp's. */
static bool
check_begin (int fd, const char *path, const char *begin, GError **error)
{
  const gsize length = strlen (begin);
  g_autofree char *found = g_malloc (length);
  const ssize_t n = pread (fd, found, length, 0);

  if (n == -1)
    return cannot_write (path, error);
  return n == 0 || ((gsize) n == length && memcmp (found, begin, length) == 0)
    || is_another (path, "not a picture of this command's", error);
}

static bool
check_folder (const char *path, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);

  return faccessat (AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0
    || cannot_write (path, error);
}

bool
report_file_check (const char *path, const char *begin, GError **error)
{
  struct stat status;

  if (fstatat (AT_FDCWD, path, &status, AT_SYMLINK_NOFOLLOW) == -1)
    return errno == ENOENT ? check_folder (path, error)
      : cannot_write (path, error);
  if (!S_ISREG (status.st_mode))
    return is_another (path, S_ISLNK (status.st_mode) ? "a link"
                       : "no regular file", error);
  auto_fd fd = open (path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd == -1)
    return cannot_write (path, error);
  return check_begin (fd, path, begin, error) && check_folder (path, error);
}

/* What was made between the check and here is refused (O_EXCL). */
static bool
reserve (const char *path, bool *made, GError **error)
{
  auto_fd fd = open (path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

  *made = fd != -1;
  return *made || errno == EEXIST || cannot_write (path, error);
}

/* Signals that end us wait until the file is whole. */
bool
report_file_put (const char *path, const char *begin, const char *text,
                 GError **error)
{
  g_autoptr (GError) failure = NULL;
  sigset_t all, before;
  bool made = false;

  sigfillset (&all);
  pthread_sigmask (SIG_BLOCK, &all, &before);
  const bool done = reserve (path, &made, error)
    && report_file_check (path, begin, error)
    && (g_file_set_contents_full (path, text, -1,
                                  G_FILE_SET_CONTENTS_CONSISTENT, 0666,
                                  &failure)
        || error_set (error, EIO, "%s", failure->message));
  if (!done && made)
    unlink (path);
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  return done;
}
