/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A frame is its length in bytes and then GLib's serialization of (uaay), in
 * the byte order of the one machine; texts need not be UTF-8.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "message.h"

#define MESSAGE_TYPE "(u^aay)"

void
message_clear (Message *message)
{
  g_clear_pointer (&message->texts, g_strfreev);
}

static bool
send_all (int fd, const void *data, gsize length)
{
  const char *next = data;

  while (length > 0) {
    const ssize_t sent = send (fd, next, length, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR)
      continue;
    if (sent < 0)
      return false;
    next += sent;
    length -= (gsize) sent;
  }
  return true;
}

bool
message_send (int fd, guint kind, const char *const *texts)
{
  g_autoptr (GVariant) variant
    = g_variant_ref_sink (g_variant_new (MESSAGE_TYPE, kind, texts));
  const gsize size = g_variant_get_size (variant);

  if (size > MESSAGE_MAX_BYTES) {
    errno = EMSGSIZE;
    return false;
  }
  const guint32 length = (guint32) size;
  return send_all (fd, &length, sizeof length)
    && send_all (fd, g_variant_get_data (variant), size);
}

static bool
receive_all (int fd, gint64 deadline, void *data, gsize length)
{
  char *next = data;

  while (length > 0) {
    const gint64 left = deadline < 0 ? -1
      : MAX (0, (deadline - g_get_monotonic_time ()) / 1000);
    struct pollfd pollfd = { .fd = fd, .events = POLLIN };
    const int ready = poll (&pollfd, 1, (int) left);
    if (ready < 0 && errno == EINTR)
      continue;
    if (ready <= 0) {
      errno = ready < 0 ? errno : ETIMEDOUT;
      return false;
    }
    const ssize_t received = recv (fd, next, length, MSG_DONTWAIT);
    if (received < 0 && (errno == EINTR || errno == EAGAIN))
      continue;
    if (received <= 0) {
      errno = ECONNRESET;
      return false;
    }
    next += received;
    length -= (gsize) received;
  }
  return true;
}

bool
message_receive (int fd, int timeout_ms, Message *message)
{
  const gint64 deadline = timeout_ms < 0 ? -1
    : g_get_monotonic_time () + timeout_ms * 1000LL;
  guint32 length;

  if (!receive_all (fd, deadline, &length, sizeof length))
    return false;
  if (length > MESSAGE_MAX_BYTES) {
    errno = EPROTO;
    return false;
  }
  g_autofree char *data = g_malloc (length);
  if (!receive_all (fd, deadline, data, length))
    return false;
  char *kept = g_steal_pointer (&data);
  g_autoptr (GVariant) variant = g_variant_ref_sink (
    g_variant_new_from_data (G_VARIANT_TYPE ("(uaay)"), kept, length, FALSE,
                             g_free, kept));
  message_clear (message);
  g_variant_get (variant, MESSAGE_TYPE, &message->kind, &message->texts);
  return true;
}

const char *
message_text (const Message *message, guint index)
{
  return message->texts && index < g_strv_length (message->texts)
    ? message->texts[index] : "";
}
