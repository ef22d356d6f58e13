/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A monitor greets who is served at once, and serves one client at a time:
 * another is let in by the kernel, and hears nothing until the first has left.
 */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "qemu/dial.h"
#include "qemu/monitor.h"

/* QEMU's main loop may wait for a slow disk meanwhile. */
#define GREETING_MS 5000

struct Monitor {
  char *peer;                   /* in messages */
  int fd;
  const NbdLife *life;
  Qmp *qmp;
  guint turn;
};

/* What it sends first must be an object; an HMP monitor begins with words. */
static bool
check_greeting (const Monitor *monitor, const char *path, GError **error)
{
  char first;

  if (!dial_wait (monitor->fd, GREETING_MS))
    return error_set (error, EBUSY, "%s is silent: either another client holds "
                      "it, such as libvirt or what else manages this QEMU, for "
                      "it serves one at a time, or it is a guest agent's "
                      "socket; to see who holds it, type ss -xpa; end that "
                      "client, or give QEMU a second monitor "
                      "(-qmp unix:PATH,server=on,wait=off)", monitor->peer)
      || error_advise (error, REMEDY_MONITOR_HELD, NULL);
  const ssize_t n = recv (monitor->fd, &first, 1, MSG_PEEK);
  if (n > 0 && first == '{')
    return true;
  if (n <= 0)
    return error_set (error, EPIPE, "%s hung up at once; does its QEMU run?",
                      monitor->peer);
  return error_set (error, EPROTO, "%s is no QMP monitor, for it does not "
                    "begin with QEMU's greeting; it may be a monitor for "
                    "people (-monitor), or another program's socket: see the "
                    "-qmp of QEMU's command line", path);
}

Monitor *
monitor_open (const char *path, const NbdLife *life, GError **error)
{
  g_autoptr (Monitor) monitor = g_new0 (Monitor, 1);

  monitor->peer = g_strconcat ("the monitor ", path, NULL);
  monitor->life = life;
  monitor->fd = dial_socket ("the monitor", path, error);
  if (monitor->fd < 0 || !check_greeting (monitor, path, error))
    return NULL;
  monitor->qmp = qmp_new (monitor->peer, monitor->fd, monitor->fd, life,
                          error);
  return monitor->qmp ? g_steal_pointer (&monitor) : NULL;
}

Monitor *
monitor_join (const char *path, int fd, const NbdLife *life)
{
  Monitor *monitor = g_new0 (Monitor, 1);

  monitor->peer = g_strconcat ("the monitor ", path, NULL);
  monitor->life = life;
  monitor->fd = fd;
  monitor_qmp_anew (monitor);
  return monitor;
}

void
monitor_free (Monitor *monitor)
{
  if (!monitor)
    return;
  qmp_free (monitor->qmp);
  close_fd (&monitor->fd);
  g_free (monitor->peer);
  g_free (monitor);
}

Qmp *
monitor_qmp (const Monitor *monitor)
{
  return monitor->qmp;
}

Qmp *
monitor_qmp_anew (Monitor *monitor)
{
  qmp_free (monitor->qmp);
  monitor->qmp = qmp_new_joined (monitor->peer, monitor->fd, ++monitor->turn,
                                 monitor->life);
  return monitor->qmp;
}

bool
monitor_is_gone (const Monitor *monitor)
{
  struct pollfd pollfd = { .fd = monitor->fd, .events = POLLRDHUP };

  return poll (&pollfd, 1, 0) > 0
    && (pollfd.revents & (POLLHUP | POLLRDHUP | POLLERR));
}

int
monitor_fd (const Monitor *monitor)
{
  return monitor->fd;
}

/* Who listens, if it is a QEMU: it may have been started by another, which
 * handed it the socket.
 */
static char *
folder_of_qemu (int fd)
{
  struct ucred peer;
  socklen_t length = sizeof peer;
  char *folder;

  if (getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
    return NULL;
  g_autofree char *program = g_strdup_printf ("/proc/%d/exe", (int) peer.pid);
  g_autofree char *link = g_file_read_link (program, NULL);
  g_autofree char *name = link ? g_path_get_basename (link) : NULL;
  if (!name || !g_str_has_prefix (name, "qemu-"))
    return NULL;
  g_autofree char *cwd = g_strdup_printf ("/proc/%d/cwd", (int) peer.pid);
  folder = g_file_read_link (cwd, NULL);
  return folder;
}

char *
monitor_path (const Monitor *monitor, const char *path)
{
  if (*path == '/')
    return g_strdup (path);
  g_autofree char *folder = folder_of_qemu (monitor->fd);
  g_autofree char *full
    = folder ? g_build_filename (folder, path, NULL) : NULL;
  char *real = full ? realpath (full, NULL) : NULL;
  char *found = g_strdup (real ? real : path);

  free (real);
  return found;
}
