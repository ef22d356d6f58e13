/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Hold a secret in memory of its own, which is cleared.  It may be written to
 * swap, as QEMU's own copy may.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "image/secret.h"

/* For each piece of it. */
#define WAIT_MS 30000

struct Secret {
  int references;
  gsize length;
  guint8 bytes[SECRET_MOST + 1]; /* one more, to see what is too long */
};

/* It may be a pipe, into which a program has not written yet. */
static bool
read_whole (int fd, Secret *secret)
{
  struct pollfd pollfd = { .fd = fd, .events = POLLIN };

  while (secret->length < sizeof secret->bytes) {
    const int ready = poll (&pollfd, 1, WAIT_MS);
    if (ready == 0)
      errno = ETIMEDOUT;
    if (ready == 0 || (ready < 0 && errno != EINTR))
      return false;
    const ssize_t n = read (fd, secret->bytes + secret->length,
                            sizeof secret->bytes - secret->length);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return false;
    if (n == 0)
      break;
    secret->length += (gsize) n;
  }
  return true;
}

Secret *
secret_read (const char *path, GError **error)
{
  g_autoptr (Secret) secret = g_new0 (Secret, 1);
  auto_fd fd = path[0] == '-' ? atoi (path + 1)
    : open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

  secret->references = 1;
  if (fd < 0 || !read_whole (fd, secret))
    return error_null (error, errno, "cannot read the secret in %s: %s", path,
                       g_strerror (errno));
  if (secret->length == 0)
    return error_null (error, EINVAL, "the secret in %s is empty", path);
  if (secret->length > SECRET_MOST)
    return error_null (error, EFBIG, "the secret in %s is longer than %d bytes",
                       path, SECRET_MOST);
  if (!g_utf8_validate ((const char *) secret->bytes, (gssize) secret->length,
                        NULL))
    return error_null (error, EILSEQ, "the secret in %s is not text in UTF-8, "
                       "and QEMU takes no other passphrase", path);
  return g_steal_pointer (&secret);
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
  explicit_bzero (secret, sizeof *secret);
  g_free (secret);
}

char *
secret_text (const Secret *secret)
{
  return g_base64_encode (secret->bytes, secret->length);
}

void
secret_text_free (char *text)
{
  if (text)
    explicit_bzero (text, strlen (text));
  g_free (text);
}

bool
secret_has_newline (const Secret *secret)
{
  return secret->bytes[secret->length - 1] == '\n';
}
