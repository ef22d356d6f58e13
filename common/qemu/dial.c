/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/error.h"
#include "base/fd.h"
#include "qemu/dial.h"

#define WRITE_TIMEOUT_S 30

static int
refuse (const char *what, const char *path, int failure, GError **error)
{
  switch (failure) {
  case EACCES: {
    g_autofree char *user = error_user ();
    error_set (error, failure, "%s %s may not be used by %s", what, path, user);
    break;
  }
  case ENOTSOCK:
    error_set (error, failure, "%s %s is no socket; name the one that "
               "QEMU was started with", what, path);
    break;
  case ECONNREFUSED:
    error_set (error, failure, "nobody listens at %s %s: its QEMU has ended, or "
               "it was started without server=on", what, path);
    break;
  case EAGAIN:
    error_set (error, EBUSY, "%s %s serves one client at a time, and others "
               "wait for it already", what, path);
    break;
  default:
    error_set (error, failure, "%s %s cannot be reached: %s; check the path, "
               "and that its QEMU runs", what, path, g_strerror (failure));
  }
  return -1;
}

/* A listening socket whose queue is full lets a blocking connect (2) wait for
 * ever, and a nonblocking one fail with EAGAIN.
 */
static int
try_to_dial (const char *path)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  const struct timeval patience = { .tv_sec = WRITE_TIMEOUT_S };
  struct stat status;
  auto_fd named = open (path, O_PATH | O_CLOEXEC);

  if (named < 0 || fstat (named, &status) < 0)
    return -1;
  if (!S_ISSOCK (status.st_mode)) {
    errno = ENOTSOCK;
    return -1;
  }
  auto_fd fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  snprintf (address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d",
            named);
  if (fd < 0 || connect (fd, (struct sockaddr *) &address, sizeof address) < 0
      || fcntl (fd, F_SETFL, 0) < 0
      || setsockopt (fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
                     sizeof patience) < 0)
    return -1;
  return g_steal_fd (&fd);
}

int
dial_socket (const char *what, const char *path, GError **error)
{
  const int fd = try_to_dial (path);

  return fd < 0 ? refuse (what, path, errno, error) : fd;
}

bool
dial_wait (int fd, guint milliseconds)
{
  const gint64 deadline = g_get_monotonic_time () + milliseconds * 1000LL;
  struct pollfd pollfd = { .fd = fd, .events = POLLIN };
  gint64 left;
  int ready;

  do {
    left = (deadline - g_get_monotonic_time ()) / 1000;
    ready = poll (&pollfd, 1, (int) CLAMP (left, 0, G_MAXINT));
  }
  while (ready < 0 && errno == EINTR);
  return ready > 0;
}
