/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A long way to a server: what comes on one socket goes to another, and back,
 * each half a round trip later, and as fast as it came.
 *
 *   delay-relay MILLISECONDS LISTEN SERVER
 *
 * Each is a Unix socket's path, or tcp:PORT of 127.0.0.1.
 *
 * Each direction of a connection has two threads, one that receives and one that
 * sends what is due, with up to QUEUE_BYTES on the way between them.
 */
#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <glib.h>

#define CHUNK_BYTES (256 * 1024)
#define QUEUE_BYTES (256 * 1024 * 1024)

typedef struct {
  gint64 due;                   /* monotonic, microseconds */
  gssize length;                /* 0: the end */
  char bytes[];
} Chunk;

typedef struct {
  int from, to;
  GAsyncQueue *chunks;
  GMutex lock;                  /* guards queued */
  GCond sent;
  gsize queued;                 /* bytes */
} Direction;

static gint64 one_way_us;

typedef union {
  struct sockaddr any;
  struct sockaddr_un path;
  struct sockaddr_in port;
} Address;

static Address
address_of (const char *where)
{
  Address address = { .path = { .sun_family = AF_UNIX } };

  if (g_str_has_prefix (where, "tcp:")) {
    address.port = (struct sockaddr_in) {
      .sin_family = AF_INET,
      .sin_port = htons ((guint16) atoi (where + strlen ("tcp:"))),
      .sin_addr = { htonl (INADDR_LOOPBACK) },
    };
    return address;
  }
  g_assert_cmpuint (strlen (where), <, sizeof address.path.sun_path);
  strcpy (address.path.sun_path, where);
  return address;
}

/* Nothing is to wait for more, or for the port of a relay before. */
static int
socket_for (const Address *address)
{
  const int fd
    = socket (address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;

  setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address->any.sa_family == AF_INET)
    setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

static socklen_t
length_of (const Address *address)
{
  return address->any.sa_family == AF_INET ? sizeof address->port
    : sizeof address->path;
}

static void
wait_for_room (Direction *direction, gsize bytes)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&direction->lock);

  while (direction->queued > QUEUE_BYTES)
    g_cond_wait (&direction->sent, &direction->lock);
  direction->queued += bytes;
}

static gpointer
receive (gpointer opaque)
{
  Direction *direction = opaque;
  gssize length;

  do {
    Chunk *chunk = g_malloc (sizeof *chunk + CHUNK_BYTES);
    length = read (direction->from, chunk->bytes, CHUNK_BYTES);
    chunk->length = MAX (length, 0);
    chunk->due = g_get_monotonic_time () + one_way_us;
    chunk = g_realloc (chunk, sizeof *chunk + (gsize) chunk->length);
    wait_for_room (direction, (gsize) chunk->length);
    g_async_queue_push (direction->chunks, chunk);
  } while (length > 0);
  return NULL;
}

static bool
send_all (int fd, const char *bytes, gssize length)
{
  for (gssize n; length > 0; bytes += n, length -= n)
    if ((n = write (fd, bytes, (gsize) length)) <= 0)
      return false;
  return true;
}

/* Until the end, or until nobody takes it. */
static gpointer
pass_on (gpointer opaque)
{
  Direction *direction = opaque;
  bool ok = true;

  while (ok) {
    g_autofree Chunk *chunk = g_async_queue_pop (direction->chunks);
    const gint64 early = chunk->due - g_get_monotonic_time ();
    if (early > 0)
      g_usleep ((gulong) early);
    ok = chunk->length > 0
      && send_all (direction->to, chunk->bytes, chunk->length);
    g_mutex_lock (&direction->lock);
    direction->queued -= (gsize) chunk->length;
    g_cond_signal (&direction->sent);
    g_mutex_unlock (&direction->lock);
  }
  shutdown (direction->to, SHUT_WR);
  shutdown (direction->from, SHUT_RD);
  return NULL;
}

static void
relay (int client, int server)
{
  const int ends[] = { client, server };

  for (int i = 0; i < 2; i++) {
    Direction *direction = g_new0 (Direction, 1);
    direction->from = ends[i];
    direction->to = ends[!i];
    direction->chunks = g_async_queue_new ();
    g_thread_unref (g_thread_new ("receive", receive, direction));
    g_thread_unref (g_thread_new ("pass on", pass_on, direction));
  }
}

int
main (int argc, char **argv)
{
  if (argc != 4) {
    fprintf (stderr, "usage: delay-relay MILLISECONDS LISTEN SERVER\n");
    return 2;
  }
  const Address here = address_of (argv[2]), there = address_of (argv[3]);
  const int listener = socket_for (&here), on = 1;

  one_way_us = (gint64) (g_ascii_strtod (argv[1], NULL) * 500);
  signal (SIGPIPE, SIG_IGN);
  if (bind (listener, &here.any, length_of (&here)) < 0
      || listen (listener, SOMAXCONN) < 0) {
    perror (argv[2]);
    return 1;
  }
  for (;;) {
    const int client = accept (listener, NULL, NULL);
    const int server = socket_for (&there);
    if (client >= 0 && here.any.sa_family == AF_INET)
      setsockopt (client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (client >= 0
        && connect (server, &there.any, length_of (&there)) == 0)
      relay (client, server);
    else {                      /* its client sees that nobody is there */
      close (client);
      close (server);
    }
  }
}
