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
#include <unistd.h>

#include "keeper/message.h"

#define MESSAGE_TYPE "(u^aay)"

void
message_clear (Message *message)
{
  g_clear_pointer (&message->texts, g_strfreev);
  if (message->has_fd)
    close (message->fd);
  message->has_fd = false;
}

int
message_take_fd (Message *message)
{
  const int fd = message->has_fd ? message->fd : -1;

  message->has_fd = false;
  return fd;
}

/* Room for one descriptor, aligned as its header must be. */
typedef union {
  char bytes[CMSG_SPACE (sizeof (int))];
  struct cmsghdr aligned;
} Control;

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

/* A frame's first bytes, and the descriptor unless it is -1. */
static bool
send_length (int fd, guint32 length, int attached)
{
  Control control = { { 0 } };
  struct iovec data = { &length, sizeof length };
  struct msghdr header = {
    .msg_iov = &data, .msg_iovlen = 1,
    .msg_control = &control, .msg_controllen = sizeof control,
  };
  struct cmsghdr *rights = CMSG_FIRSTHDR (&header);
  ssize_t sent;

  if (attached == -1)
    return send_all (fd, &length, sizeof length);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN (sizeof attached);
  memcpy (CMSG_DATA (rights), &attached, sizeof attached);
  do
    sent = sendmsg (fd, &header, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent > 0
    && send_all (fd, (const char *) &length + sent,
                 sizeof length - (gsize) sent);
}

bool
message_send (int fd, guint kind, const char *const *texts)
{
  return message_send_fd (fd, kind, texts, -1);
}

bool
message_send_fd (int fd, guint kind, const char *const *texts, int attached)
{
  g_autoptr (GVariant) variant
    = g_variant_ref_sink (g_variant_new (MESSAGE_TYPE, kind, texts));
  const gsize size = g_variant_get_size (variant);

  if (size > MESSAGE_MAX_BYTES) {
    errno = EMSGSIZE;
    return false;
  }
  const guint32 length = (guint32) size;
  return send_length (fd, length, attached)
    && send_all (fd, g_variant_get_data (variant), size);
}

/* Whatever comes is kept or closed: the other side may send more than one, and
 * there is room for two, as headers are aligned.
 */
static void
take_descriptors (struct msghdr *header, Message *message)
{
  for (struct cmsghdr *rights = CMSG_FIRSTHDR (header); rights;
       rights = CMSG_NXTHDR (header, rights)) {
    if (rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS)
      continue;
    const gsize count = (rights->cmsg_len - CMSG_LEN (0)) / sizeof (int);
    for (gsize i = 0; i < count; i++) {
      if (message->has_fd)
        close (message->fd);
      memcpy (&message->fd, CMSG_DATA (rights) + i * sizeof (int),
              sizeof (int));
      message->has_fd = true;
    }
  }
}

/* As recv(2), which would lose a descriptor that comes with the bytes. */
static ssize_t
receive_some (int fd, void *data, gsize length, Message *message)
{
  Control control;
  struct iovec room = { data, length };
  struct msghdr header = {
    .msg_iov = &room, .msg_iovlen = 1,
    .msg_control = &control, .msg_controllen = sizeof control,
  };
  const ssize_t received
    = recvmsg (fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

  if (received >= 0)
    take_descriptors (&header, message);
  return received;
}

static bool
receive_all (int fd, gint64 deadline, void *data, gsize length,
             Message *message)
{
  char *next = data;

  while (length > 0) {
    const gint64 left
      = MAX (0, (deadline - g_get_monotonic_time ()) / 1000);
    struct pollfd pollfd = { .fd = fd, .events = POLLIN };
    const int ready = poll (&pollfd, 1, (int) left);
    if (ready < 0 && errno == EINTR)
      continue;
    if (ready <= 0) {
      errno = ready < 0 ? errno : ETIMEDOUT;
      return false;
    }
    const ssize_t received = receive_some (fd, next, length, message);
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
  const gint64 deadline = g_get_monotonic_time () + timeout_ms * 1000LL;
  guint32 length;

  message_clear (message);
  if (!receive_all (fd, deadline, &length, sizeof length, message))
    return false;
  if (length > MESSAGE_MAX_BYTES) {
    errno = EPROTO;
    return false;
  }
  g_autofree char *data = g_malloc (length);
  if (!receive_all (fd, deadline, data, length, message))
    return false;
  char *kept = g_steal_pointer (&data);
  g_autoptr (GVariant) variant = g_variant_ref_sink (
    g_variant_new_from_data (G_VARIANT_TYPE ("(uaay)"), kept, length, FALSE,
                             g_free, kept));
  g_variant_get (variant, MESSAGE_TYPE, &message->kind, &message->texts);
  return true;
}

const char *
message_text (const Message *message, guint index)
{
  return message->texts && index < g_strv_length (message->texts)
    ? message->texts[index] : "";
}
