/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A handshake that is cut short leaves no option half sent: a server would wait
 * for the rest, for seconds, and whoever wants to know whether it still
 * negotiates as well.  The argument is a seed.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nbd/handshake.h"

#define ROUNDS 100
#define LONG_MS 20000
/* Cut short when the contexts have come, however long that takes. */
#define AFTER_CONTEXTS G_MAXUINT
#define FLAGS_BYTES 4
#define OPTION_HEADER_BYTES 16
#define MOST_BYTES 65536
#define EXPORT "a disk's export"

typedef struct {
  int fd;
  bool go_ahead;
  gint has_contexts;            /* atomic: they have come, */
  guint went_ahead;             /* and the export with them: how often */
  GByteArray *received;
} Server;

static const guint8 greeting[] = {
  'N', 'B', 'D', 'M', 'A', 'G', 'I', 'C', 'I', 'H', 'A', 'V', 'E', 'O', 'P',
  'T', 0, 3                     /* fixed newstyle, no zeroes */
};
/* To structured replies, and, in another byte, to no meta context. */
#define OPTION_BYTE 11
#define SET_META_CONTEXT 10
static const guint8 agreement[] = {
  0, 3, 0xe8, 0x89, 0x04, 0x55, 0x65, 0xa9, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0
};

/* So many bytes, or less at the end, which is a reset where something that we
 * sent was not read.
 */
static gsize
receive (Server *server, gsize bytes)
{
  guint8 buffer[MOST_BYTES];
  ssize_t n = bytes ? recv (server->fd, buffer, bytes, MSG_WAITALL) : 0;

  if (n < 0) {
    g_assert_cmpint (errno, ==, ECONNRESET);
    n = 0;
  }
  g_byte_array_append (server->received, buffer, (guint) n);
  return (gsize) n;
}

/* The length of the data of the option whose header was the last to come. */
static guint32
data_bytes (const Server *server)
{
  guint32 length;

  memcpy (&length, server->received->data + server->received->len
          - sizeof length, sizeof length);
  return GUINT32_FROM_BE (length);
}

static void
agree (const Server *server, guint8 option)
{
  guint8 answer[sizeof agreement];

  memcpy (answer, agreement, sizeof answer);
  answer[OPTION_BYTE] = option;
  (void) !send (server->fd, answer, sizeof answer, MSG_NOSIGNAL);
}

/* The export is asked for in the same breath, or not before the answer. */
static void
note_ahead (Server *server)
{
  gchar byte;
  const bool is_next
    = recv (server->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;

  server->went_ahead += is_next;
  if (is_next)
    g_assert_true (server->go_ahead);
  g_atomic_int_set (&server->has_contexts, 1);
}

/* Agrees to two options, and answers no third.  Returns whether the last option that
 * has begun to come has come whole.
 */
static gpointer
serve (gpointer data)
{
  Server *server = data;
  bool whole = true;

  (void) !send (server->fd, greeting, sizeof greeting, MSG_NOSIGNAL);
  receive (server, FLAGS_BYTES);
  for (guint i = 0;; i++) {
    const gsize header = receive (server, OPTION_HEADER_BYTES);
    if (header < OPTION_HEADER_BYTES)
      return GINT_TO_POINTER (whole && header == 0);
    const guint32 length = data_bytes (server);
    const guint8 option
      = server->received->data[server->received->len - sizeof length - 1];
    g_assert_cmpuint (length, <=, MOST_BYTES);
    whole = receive (server, length) == length;
    if (whole && option == SET_META_CONTEXT)
      note_ahead (server);
    if (i < 2)
      agree (server, option);
  }
}

typedef struct {
  gint stop;
  guint microseconds;
  const Server *server;
} Ending;

static gpointer
end_soon (gpointer data)
{
  Ending *ending = data;

  if (ending->microseconds != AFTER_CONTEXTS)
    g_usleep (ending->microseconds);
  else
    while (!g_atomic_int_get (&ending->server->has_contexts))
      g_usleep (1000);
  g_atomic_int_set (&ending->stop, 1);
  return NULL;
}

static int
is_created (struct nbd_handle *nbd)
{
  return nbd_aio_is_created (nbd) || nbd_aio_is_connecting (nbd);
}

static int
negotiate (struct nbd_handle *nbd, int fd, NbdLife *life, bool go_ahead,
           gint64 deadline)
{
  g_assert_cmpint (nbd_set_opt_mode (nbd, true), ==, 0);
  g_assert_cmpint (nbd_set_export_name (nbd, EXPORT), ==, 0);
  g_assert_cmpint (nbd_add_meta_context (nbd, "base:allocation"), ==, 0);
  g_assert_cmpint (nbd_add_meta_context (nbd, "qemu:dirty-bitmap:x"), ==, 0);
  g_assert_cmpint (nbd_aio_connect_socket (nbd, fd), ==, 0);
  const int failure
    = nbd_handshake (nbd, is_created, life, MOST_BYTES, deadline);
  if (failure)
    return failure;
  return nbd_handshake_go (nbd, go_ahead, life, MOST_BYTES, deadline);
}

/* How often the export was asked for ahead. */
static guint
cut_short (guint microseconds, bool go_ahead)
{
  Server server = { .go_ahead = go_ahead, .received = g_byte_array_new () };
  Ending ending = { .microseconds = microseconds, .server = &server };
  NbdLife *life = nbd_life_new (&ending.stop, 0);
  struct nbd_handle *nbd = nbd_create ();
  int pair[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair),
                   ==, 0);
  server.fd = pair[1];
  GThread *serving = g_thread_new ("server", serve, &server);
  GThread *ends = g_thread_new ("ends", end_soon, &ending);
  g_assert_cmpint (negotiate (nbd, pair[0], life, go_ahead,
                              nbd_deadline_in (LONG_MS)), ==, ESHUTDOWN);
  nbd_close (nbd);
  g_thread_join (ends);
  g_assert_true (GPOINTER_TO_INT (g_thread_join (serving)));
  close (server.fd);
  g_byte_array_unref (server.received);
  nbd_life_free (life);
  return server.went_ahead;
}

int
main (int argc, char **argv)
{
  const guint seed = argc > 1 ? (guint) atol (argv[1]) : g_random_int ();
  GRand *random = g_rand_new_with_seed (seed);

  g_print ("seed %u\n", seed);
  for (guint i = 0; i < ROUNDS; i++)
    cut_short ((guint) g_rand_int_range (random, 0, 600), i % 2);
  g_assert_cmpuint (cut_short (AFTER_CONTEXTS, true), ==, 1);
  g_assert_cmpuint (cut_short (AFTER_CONTEXTS, false), ==, 0);
  g_rand_free (random);
  return EXIT_SUCCESS;
}
