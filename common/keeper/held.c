/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Holds the server's connections to the backup job open until the keeper ends,
 * because of three faults of QEMU.  Where a disk has an iothread, QEMU 7.2 dies
 * if a connection is closed before the job has ended (blockdev-nbd.c,
 * nbd_blockdev_client_closed: an assertion).  QEMU hangs for ever if a
 * connection still negotiates as the job ends, even if it is closed then
 * (nbd_server_free waits, but for other sockets).  And QEMU ends no job while an
 * answer that it has begun to send is unread: its main thread waits, and the
 * guest with it.  So before the job is ended, held_wait () has each connection
 * known to be the export's, or closed.
 *
 * This is a thread with a socket of its own, since the keeper itself may wait
 * for libvirt, which waits for QEMU, which waits for us to read.  It must not
 * receive on what the server still receives on: the server would lack that.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "keeper/held.h"
#include "keeper/job-ops.h"
#include "keeper/keeper.h"

#define NOISE_BYTES 65536
#define ID_MAX_BYTES 20         /* a guint64's digits */

/* For QEMU to answer ask ().  It closes what negotiates for 10 s itself
 * (NBD_DEFAULT_HANDSHAKE_MAX_SECS, QEMU 7.2.14 and 9.1).
 */
#define SETTLES_WITHIN_MS 12000
/* A server that hears of its job's loss calms down first. */
#define HEARD_WITHIN_MS (KEEPER_CALM_MS + SETTLES_WITHIN_MS + 2000)

typedef struct {
  int fd;
  bool encrypted;
  bool settled;                 /* it is the export's */
  bool drained;                 /* nobody else receives on it */
  gint64 settles_by;            /* monotonic; 0: it was not asked */
  guint64 cookie;               /* of what it was asked */
  GByteArray *tail;             /* of what came since, less than a cookie */
} Connection;

struct Held {
  GHashTable *connections;      /* ID → Connection * */
  int server_fd;                /* our own socket; -1: it is gone */
  int owner_fd;                 /* pidfd of the server; -1: none (yet) */
  bool adopted;
  GMutex lock;                  /* guards what follows */
  GCond news;
  bool has_begun;               /* a job or a change, or is about to */
  bool heard_all;               /* there will be no connections but these */
  guint unsettled;
};

static void
connection_free (gpointer data)
{
  Connection *connection = data;

  close (connection->fd);
  g_byte_array_unref (connection->tail);
  g_free (connection);
}

/* For held_wait (). */
static void
tell_news (Held *held, bool heard_all)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&held->lock);
  GHashTableIter iter;
  gpointer value;

  held->heard_all |= heard_all;
  held->unsettled = 0;
  g_hash_table_iter_init (&iter, held->connections);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    held->unsettled += !((const Connection *) value)->settled;
  g_cond_signal (&held->news);
}

static void
add_connection (Held *held, Message *message)
{
  Connection *connection = g_new0 (Connection, 1);

  connection->fd = message_take_fd (message);
  connection->encrypted = message_text (message, 1)[0] != '\0';
  connection->tail = g_byte_array_new ();
  g_hash_table_insert (held->connections,
                       g_strdup (message_text (message, 0)), connection);
}

/* Does it negotiate, or is it the export's?  We request to read one byte.  An
 * export answers with our cookie; a negotiation takes it for an option with a
 * wrong magic number, and QEMU closes the connection, which does no harm then.
 * (NBD's doc/proto.md, "Request message"; QEMU's nbd/server.c,
 * nbd_negotiate_options, 7.2 to 10.0.)  With extended headers, these 32 bytes
 * are a request with a wrong number, which is answered as well
 * (nbd_receive_request).  Under TLS we cannot ask; QEMU's own limit helps.
 */
static void
ask (Connection *connection)
{
  struct {
    guint32 magic;
    guint16 flags, type;
    guint64 cookie, offset;
    guint32 count, padding;
  } __attribute__ ((packed)) request = {
    .magic = GUINT32_TO_BE (0x25609513),
    .count = GUINT32_TO_BE (1),
  };

  connection->settles_by
    = g_get_monotonic_time () + SETTLES_WITHIN_MS * G_TIME_SPAN_MILLISECOND;
  if (connection->encrypted)
    return;
  connection->cookie = (guint64) g_random_int () << 32 | g_random_int ();
  request.cookie = connection->cookie;
  /* What cannot be sent is not answered, either. */
  (void) !send (connection->fd, &request, sizeof request,
                MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Nobody else receives on it from here on. */
static void
drain (Connection *connection)
{
  if (!connection->settled && !connection->drained)
    ask (connection);
  connection->drained = true;
}

/* libvirt's calls have no limit, and nobody waits for them any more. */
static void
leave_unless_begun (Held *held)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&held->lock);

  if (!held->has_begun)
    _exit (EXIT_SUCCESS);
}

void
held_begin (Held *held)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&held->lock);

  held->has_begun = true;
}

/* The server is gone: nobody else receives on any of them. */
static void
drain_all (Held *held)
{
  GHashTableIter iter;
  gpointer value;

  leave_unless_begun (held);
  g_hash_table_iter_init (&iter, held->connections);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    drain (value);
  tell_news (held, true);
}

/* Settle those that QEMU has not answered in time.  It stands still, and has yet to
 * read what was sent, which may make the connection the export's: so none is closed.
 * No option was sent by half (nbd/go-ahead.h), for which it would wait; one that could
 * not be asked has outlived QEMU's own limit.  Returns the milliseconds until the next;
 * -1: there is none.
 */
static int
settle_overdue (Held *held)
{
  const gint64 now = g_get_monotonic_time ();
  gint64 next = 0;
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, held->connections);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    Connection *connection = value;
    const gint64 settles_by = connection->settles_by;
    if (connection->settled || !settles_by)
      continue;
    if (settles_by > now)
      next = next ? MIN (next, settles_by) : settles_by;
    else
      connection->settled = true;
  }
  return next ? (int) ((next - now) / G_TIME_SPAN_MILLISECOND) + 1 : -1;
}

void
held_wait (Held *held)
{
  const gint64 deadline
    = g_get_monotonic_time () + HEARD_WITHIN_MS * G_TIME_SPAN_MILLISECOND;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&held->lock);

  while ((!held->heard_all || held->unsettled > 0)
         && g_cond_wait_until (&held->news, &held->lock, deadline))
    ;
}

/* The server may be another user's, and is not believed further than needed:
 * it is adopted once, and no connection takes the place of another, which would
 * be closed.
 */
static void
heed_message (Held *held, Message *message)
{
  const char *text = message_text (message, 0);
  Connection *connection = g_hash_table_lookup (held->connections, text);

  if (message->kind == KEEPER_HOLD && message->has_fd && !connection
      && strlen (text) <= ID_MAX_BYTES)
    add_connection (held, message);
  else if (message->kind == KEEPER_SETTLE && connection)
    connection->settled = true;
  else if (message->kind == KEEPER_LET_GO && connection)
    drain (connection);
  else if (message->kind == KEEPER_CALM)
    tell_news (held, true);
  else if (message->kind == KEEPER_ADOPT && !held->adopted) {
    held->adopted = true;
    held->owner_fd = (int) syscall (SYS_pidfd_open, atol (text), 0);
    if (held->owner_fd < 0 && errno == ESRCH)
      drain_all (held);
  }
}

/* One that was stopped in the middle of a message, or sends nonsense, is heeded
 * no more; but it lives and receives, so what it receives on is left alone
 * until its end is told by its pidfd.
 */
static void
heed_server (Held *held)
{
  g_auto (Message) message = { 0 };

  if (message_receive (held->server_fd, KEEPER_ANSWER_MS, &message)) {
    heed_message (held, &message);
    return;
  }
  close_fd (&held->server_fd);
  if (errno == ECONNRESET)
    drain_all (held);
}

/* Is the answer to our question among these bytes, or has it begun before? */
static void
look_for_answer (Connection *connection, const char *bytes, gsize size)
{
  GByteArray *tail = connection->tail;
  const gsize known = sizeof connection->cookie - 1;

  if (connection->settled || !connection->cookie)
    return;
  g_byte_array_append (tail, (const guint8 *) bytes, (guint) size);
  connection->settled = memmem (tail->data, tail->len, &connection->cookie,
                                sizeof connection->cookie) != NULL;
  if (tail->len > known)
    g_byte_array_remove_range (tail, 0, tail->len - (guint) known);
}

/* Receive what is for nobody else.  False at its end, which is the other
 * side's.
 */
static bool
throw_away (Connection *connection)
{
  char noise[NOISE_BYTES];
  const ssize_t received
    = recv (connection->fd, noise, sizeof noise, MSG_DONTWAIT);

  if (received > 0)
    look_for_answer (connection, noise, (gsize) received);
  return received > 0
    || (received < 0 && (errno == EINTR || errno == EAGAIN));
}

static void
heed_connections (Held *held, const GArray *pollfds)
{
  const struct pollfd *ready = &g_array_index (pollfds, struct pollfd, 2);
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, held->connections);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    if (((const Connection *) value)->drained && (ready++)->revents
        && !throw_away (value))
      g_hash_table_iter_remove (&iter);
}

/* What to wait for: the server, its end, and then, in the table's order, each
 * connection that nobody else receives on.
 */
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
    const int limit_ms = settle_overdue (held);
    tell_news (held, false);
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

Held *
held_start (int server_fd)
{
  Held *held = g_new0 (Held, 1);

  held->connections
    = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                             connection_free);
  held->server_fd = server_fd;
  held->owner_fd = -1;
  g_mutex_init (&held->lock);
  g_cond_init (&held->news);
  g_autoptr (GThread) thread = g_thread_try_new ("held", run, held, NULL);
  return thread ? held : NULL;
}
