/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The server's connections to the backup job, held open until we end.
 *
 * Two faults of QEMU's make that needful.  Where a disk has an iothread, QEMU
 * 7.2 dies if a connection to its job is closed before the job has ended
 * (blockdev-nbd.c, nbd_blockdev_client_closed: an assertion).  And QEMU ends no
 * job while an answer is unread that it has begun to send: its main thread
 * waits, and with it the guest.
 *
 * A thread of the keeper's with a socket of its own, since the keeper itself
 * may wait for libvirt, which waits for QEMU, which waits for us to read.  What
 * the server still receives on must not be received here: it would lack what we
 * take.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "keeper-process.h"
#include "message.h"

#define NOISE_BYTES 65536
#define ID_MAX_BYTES 20         /* a guint64's digits */

/* How long one is held of which it is not known whether it has become the
 * export's.  A job ends in less than that, and then closing it does no harm; if
 * it has not, QEMU's main thread waits for it as the job's server stops.
 */
#define UNSETTLED_MS 200

typedef struct {
  int fd;
  bool settled;                 /* it is the export's */
  bool drained;                 /* nobody else receives on it */
  gint64 closed_at;             /* monotonic; 0: when we end */
} Connection;

typedef struct {
  GHashTable *connections;      /* ID → Connection * */
  int server_fd;                /* our own socket; -1: it is gone */
  int owner_fd;                 /* pidfd of the server; -1: none (yet) */
  bool adopted;
} Held;

static void
connection_free (gpointer data)
{
  Connection *connection = data;

  close (connection->fd);
  g_free (connection);
}

static void
add_connection (Held *held, const char *id, int fd)
{
  Connection *connection = g_new0 (Connection, 1);

  connection->fd = fd;
  g_hash_table_insert (held->connections, g_strdup (id), connection);
}

static void
drain (Connection *connection)
{
  if (!connection->settled && !connection->drained)
    connection->closed_at
      = g_get_monotonic_time () + UNSETTLED_MS * G_TIME_SPAN_MILLISECOND;
  connection->drained = true;
}

/* Nobody else receives on any of them. */
static void
drain_all (Held *held)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, held->connections);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    drain (value);
}

/* Close those whose time has come.  Milliseconds until that of the next; -1:
 * there is none.
 */
static int
close_unsettled (Held *held)
{
  const gint64 now = g_get_monotonic_time ();
  gint64 next = 0;
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, held->connections);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    const gint64 closed_at = ((const Connection *) value)->closed_at;
    if (closed_at && closed_at <= now)
      g_hash_table_iter_remove (&iter);
    else if (closed_at && (!next || closed_at < next))
      next = closed_at;
  }
  return next ? (int) ((next - now) / G_TIME_SPAN_MILLISECOND) + 1 : -1;
}

/* The server may be another user's, and is not believed further than needed:
 * it is adopted once, and no connection takes the place of another, which would
 * be closed.
 */
static void
heed_message (Held *held, Message *message)
{
  const char *text = message_text (message, 0);
  const int fd = message_take_fd (message);
  Connection *connection = g_hash_table_lookup (held->connections, text);

  if (message->kind == KEEPER_HOLD && fd >= 0 && !connection
      && strlen (text) <= ID_MAX_BYTES) {
    add_connection (held, text, fd);
    return;
  }
  if (fd >= 0)
    close (fd);
  if (message->kind == KEEPER_SETTLE && connection)
    connection->settled = true;
  else if (message->kind == KEEPER_LET_GO && connection)
    drain (connection);
  else if (message->kind == KEEPER_ADOPT && !held->adopted) {
    held->adopted = true;
    held->owner_fd = (int) syscall (SYS_pidfd_open, atol (text), 0);
    if (held->owner_fd < 0 && errno == ESRCH)
      drain_all (held);
  }
}

/* Under --run, the process that waits holds the socket open, too. */
static void
heed_server (Held *held)
{
  g_auto (Message) message = { 0 };

  if (message_receive (held->server_fd, KEEPER_ANSWER_MS, &message)) {
    heed_message (held, &message);
    return;
  }
  held->server_fd = -1;
  drain_all (held);
}

/* False at its end, which is the other side's. */
static bool
throw_away (int fd)
{
  char noise[NOISE_BYTES];
  const ssize_t received = recv (fd, noise, sizeof noise, MSG_DONTWAIT);

  return received > 0 || (received < 0 && (errno == EINTR || errno == EAGAIN));
}

static void
heed_connections (Held *held, const GArray *pollfds)
{
  for (guint i = 2; i < pollfds->len; i++) {
    const struct pollfd *ready = &g_array_index (pollfds, struct pollfd, i);
    GHashTableIter iter;
    gpointer value;
    if (!ready->revents || throw_away (ready->fd))
      continue;
    g_hash_table_iter_init (&iter, held->connections);
    while (g_hash_table_iter_next (&iter, NULL, &value))
      if (((const Connection *) value)->fd == ready->fd)
        g_hash_table_iter_remove (&iter);
  }
}

/* What to wait for: the server, its end, and bytes for nobody else. */
static GArray *
list_pollfds (const Held *held)
{
  GArray *pollfds = g_array_new (FALSE, FALSE, sizeof (struct pollfd));
  struct pollfd pollfd = { .fd = held->server_fd, .events = POLLIN };
  GHashTableIter iter;
  gpointer value;

  g_array_append_val (pollfds, pollfd);
  pollfd.fd = held->owner_fd;
  g_array_append_val (pollfds, pollfd);
  g_hash_table_iter_init (&iter, held->connections);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    const Connection *connection = value;
    pollfd.fd = connection->fd;
    if (connection->drained)
      g_array_append_val (pollfds, pollfd);
  }
  return pollfds;
}

static gpointer
run (gpointer data)
{
  Held *held = data;

  for (;;) {
    const int limit_ms = close_unsettled (held);
    g_autoptr (GArray) pollfds = list_pollfds (held);
    const struct pollfd *ready = &g_array_index (pollfds, struct pollfd, 0);
    if (poll ((struct pollfd *) (void *) pollfds->data, pollfds->len,
              limit_ms) < 0)
      continue;
    heed_connections (held, pollfds);
    if (ready[0].revents)
      heed_server (held);
    else if (ready[1].revents) {
      /* What it had still to say has been heard. */
      held->owner_fd = -1;
      drain_all (held);
    }
  }
  return NULL;
}

bool
held_start (int server_fd)
{
  Held *held = g_new0 (Held, 1);

  held->connections
    = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                             connection_free);
  held->server_fd = server_fd;
  held->owner_fd = -1;
  return g_thread_try_new ("held", run, held, NULL) != NULL;
}
