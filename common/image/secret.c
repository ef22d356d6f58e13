/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A secret is in a file without a name (memfd_create), not in our memory, of
 * which copies would stay behind: in what was freed, and in a process that
 * nbdkit has forked from.  To empty the file empties it for all who have it.
 * It may be written to swap, as QEMU's own copy may.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "image/secret.h"

/* For each piece of it. */
#define WAIT_MS 30000

/* Of Linux 6.3, which may insist on it (vm.memfd_noexec). */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

struct Secret {
  int references;
  int fd;                       /* of the file */
  int daemon_fd;
  bool has_newline;
};

/* It may be a pipe, into which a program has not written yet. */
static bool
read_whole (int fd, guint8 *bytes, gsize most, gsize *length)
{
  struct pollfd pollfd = { .fd = fd, .events = POLLIN };

  while (*length < most) {
    const int ready = poll (&pollfd, 1, WAIT_MS);
    if (ready == 0)
      errno = ETIMEDOUT;
    if (ready < 0 && errno == EINTR)
      continue;
    if (ready <= 0)
      return false;
    const ssize_t n = read (fd, bytes + *length, most - *length);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return false;
    if (n == 0)
      break;
    *length += (gsize) n;
  }
  return true;
}

static Secret *
keep (const guint8 *bytes, gsize length, GError **error)
{
  g_autoptr (Secret) secret = g_new0 (Secret, 1);

  secret->references = 1;
  secret->has_newline = bytes[length - 1] == '\n';
  secret->fd = memfd_create ("secret", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
  if (secret->fd < 0 && errno == EINVAL)
    secret->fd = memfd_create ("secret", MFD_CLOEXEC);
  if (secret->fd >= 0
      && write (secret->fd, bytes, length) == (ssize_t) length)
    return g_steal_pointer (&secret);
  return error_null (error, errno, "cannot keep a secret in memory: %s",
                     g_strerror (errno));
}

/* bytes: room for one more than a secret may have, to see what is too long. */
static Secret *
read_secret (const char *path, guint8 *bytes, GError **error)
{
  auto_fd fd = path[0] == '-' ? atoi (path + 1)
    : open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  gsize length = 0;

  if (fd < 0 || !read_whole (fd, bytes, SECRET_MOST + 1, &length))
    return error_null (error, errno, "cannot read the secret in %s: %s", path,
                       g_strerror (errno));
  if (length == 0)
    return error_null (error, EINVAL, "the secret in %s is empty", path);
  if (length > SECRET_MOST)
    return error_null (error, EFBIG, "the secret in %s is longer than %d bytes",
                       path, SECRET_MOST);
  if (!g_utf8_validate ((const char *) bytes, (gssize) length, NULL))
    return error_null (error, EILSEQ, "the secret in %s is not text in UTF-8, "
                       "and QEMU takes no other passphrase", path);
  return keep (bytes, length, error);
}

Secret *
secret_read (const char *path, GError **error)
{
  g_autofree guint8 *bytes = g_malloc (SECRET_MOST + 1);
  Secret *secret = read_secret (path, bytes, error);

  explicit_bzero (bytes, SECRET_MOST + 1);
  return secret;
}

Secret *
secret_ref (Secret *secret)
{
  secret->references++;
  return secret;
}

void
secret_unref (Secret *secret)
{
  if (!secret || --secret->references > 0)
    return;
  if (secret->fd >= 0 && ftruncate (secret->fd, 0) < 0)
    g_warning ("a secret could not be emptied: %s", g_strerror (errno));
  close_fd (&secret->fd);
  g_free (secret);
}

int
secret_pass (Secret *secret, int daemon_fd)
{
  secret->daemon_fd = daemon_fd;
  return secret->fd;
}

int
secret_daemon_fd (const Secret *secret)
{
  return secret->daemon_fd;
}

bool
secret_has_newline (const Secret *secret)
{
  return secret->has_newline;
}
