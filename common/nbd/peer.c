/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A process's command line tells whether it is a guest's QEMU, and whether one
 * of its devices has an iothread.  How new it is, a question tells that only
 * newer ones understand, on a connection of its own: its program could say so,
 * too, but must not be run, as it may be anybody's.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "nbd/peer.h"

#define COMMAND_LINE_MAX (1024 * 1024)
#define ANSWERS_WITHIN_S 5

/* Its arguments, NUL after each; NULL if they cannot be seen. */
static GByteArray *
command_line (pid_t pid)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autofree char *path = g_strdup_printf ("/proc/%ld/cmdline", (long) pid);
  auto_fd fd = open (path, O_RDONLY | O_CLOEXEC);
  guint8 buffer[4096];
  ssize_t n = -1;

  while (fd >= 0 && bytes->len < COMMAND_LINE_MAX
         && (n = read (fd, buffer, sizeof buffer)) > 0)
    g_byte_array_append (bytes, buffer, (guint) n);
  g_byte_array_append (bytes, (const guint8 *) "", 1);
  return n < 0 ? NULL : g_steal_pointer (&bytes);
}

/* Is it a QEMU with a device, or an export, that has an iothread? */
static bool
has_iothread (const GByteArray *arguments)
{
  const char *word = (const char *) arguments->data;
  const char *end = word + arguments->len;
  const char *slash = strrchr (word, '/');
  bool may_have_one = false;

  if (!strstr (slash ? slash : word, "qemu"))
    return false;
  for (; word < end; word += strlen (word) + 1) {
    if (may_have_one && strstr (word, "iothread"))
      return true;
    may_have_one = g_str_has_suffix (word, "-device")
      || g_str_has_suffix (word, "-export");
  }
  return false;
}

static bool
receive (int fd, void *bytes, size_t size)
{
  return recv (fd, bytes, size, MSG_WAITALL) == (ssize_t) size;
}

/* Does it know extended headers?  (NBD's doc/proto.md,
 * NBD_OPT_EXTENDED_HEADERS; in QEMU since 8.2.)
 */
static bool
knows_extended_headers (int fd)
{
  const struct {
    guint32 flags;              /* fixed newstyle, no zeroes */
    guint64 magic;              /* "IHAVEOPT" */
    guint32 option, length;
  } __attribute__ ((packed)) question = {
    GUINT32_TO_BE (3), GUINT64_TO_BE (G_GUINT64_CONSTANT (0x49484156454f5054)),
    GUINT32_TO_BE (11), 0,
  };
  struct {
    guint64 magic;
    guint32 option, type, length;
  } __attribute__ ((packed)) answer;
  char greeting[18];

  return receive (fd, greeting, sizeof greeting)
    && send (fd, &question, sizeof question, MSG_NOSIGNAL)
    == (ssize_t) sizeof question
    && receive (fd, &answer, sizeof answer)
    && answer.type == GUINT32_TO_BE (1);
}

static bool
is_newer (const struct sockaddr_un *name)
{
  const struct timeval limit = { .tv_sec = ANSWERS_WITHIN_S };
  auto_fd fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  return fd >= 0
    && setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0
    && setsockopt (fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0
    && connect (fd, (const struct sockaddr *) name, sizeof *name) == 0
    && knows_extended_headers (fd);
}

bool
nbd_peer_listener (int fd, struct sockaddr_un *name, pid_t *pid)
{
  struct ucred listener;
  socklen_t name_size = sizeof *name, size = sizeof listener;

  memset (name, 0, sizeof *name);
  if (getpeername (fd, (struct sockaddr *) name, &name_size) < 0
      || name->sun_family != AF_UNIX
      || getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &listener, &size) < 0)
    return false;
  *pid = listener.pid;
  return true;
}

bool
nbd_peer_bears_leaving (int fd, const char *what, GError **error)
{
  struct sockaddr_un name;
  pid_t pid;

  if (!nbd_peer_listener (fd, &name, &pid) || pid == 0)
    return true;
  g_autoptr (GByteArray) arguments = command_line (pid);
  if (!arguments || !has_iothread (arguments) || is_newer (&name))
    return true;
  error_set (error, EPERM, "%s: not connected, for its guest could die: QEMU "
             "there (process %ld) has an iothread and is older than 8.2, and "
             "may crash when a client of an export leaves", what, (long) pid);
  return error_advise (error, REMEDY_LET_US_BEGIN, NULL);
}
