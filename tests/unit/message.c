/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Messages arrive whole and in order; a peer that is silent, gone or sends
 * something else is told apart.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keeper/message.h"

static int fds[2];

static void
connect_pair (void)
{
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                   ==, 0);
}

static void
close_pair (void)
{
  close (fds[0]);
  close (fds[1]);
}

static void
test_in_order (void)
{
  const char *const first[] = { "a", "", "\xc3\xa9\n", "\xff", NULL };
  const char *const none[] = { NULL };
  g_auto (Message) message = { 0 };

  connect_pair ();
  g_assert_true (message_send (fds[0], 7, first));
  g_assert_true (message_send (fds[0], 8, none));
  g_assert_true (message_receive (fds[1], 1000, &message));
  g_assert_cmpuint (message.kind, ==, 7);
  g_assert_true (g_strv_equal ((const char *const *) message.texts, first));
  g_assert_cmpstr (message_text (&message, 0), ==, "a");
  g_assert_cmpstr (message_text (&message, 4), ==, "");
  g_assert_true (message_receive (fds[1], 1000, &message));
  g_assert_cmpuint (message.kind, ==, 8);
  g_assert_cmpstr (message_text (&message, 0), ==, "");
  close_pair ();
}

/* It is there for the receiver even if the sender has closed its own, and with
 * the message that it was sent with; who does not take it leaves nothing open.
 */
static void
test_descriptor (void)
{
  const char *const texts[] = { "with", NULL };
  int pipe_fds[2];
  char byte;
  g_auto (Message) message = { 0 };

  connect_pair ();
  g_assert_cmpint (pipe (pipe_fds), ==, 0);
  g_assert_true (message_send (fds[0], 1, texts));
  g_assert_true (message_send_fd (fds[0], 2, texts, pipe_fds[1]));
  g_assert_true (message_send_fd (fds[0], 3, texts, pipe_fds[1]));
  g_assert_true (message_send (fds[0], 4, texts));
  close (pipe_fds[1]);
  for (guint kind = 1; kind <= 4; kind++) {
    g_assert_true (message_receive (fds[1], 1000, &message));
    g_assert_cmpuint (message.kind, ==, kind);
    g_assert_cmpstr (message_text (&message, 0), ==, "with");
    if (kind == 3)              /* the next message closes it */
      continue;
    const int fd = message_take_fd (&message);
    g_assert_true ((fd >= 0) == (kind == 2));
    if (fd < 0)
      continue;
    g_assert_true (fcntl (fd, F_GETFD) & FD_CLOEXEC);
    g_assert_cmpint (write (fd, "x", 1), ==, 1);
    close (fd);
  }
  g_assert_cmpint (message_take_fd (&message), ==, -1);
  g_assert_cmpint (read (pipe_fds[0], &byte, 1), ==, 1);
  g_assert_cmpint (read (pipe_fds[0], &byte, 1), ==, 0);
  close (pipe_fds[0]);
  close_pair ();
}

/* A stranger sends two at once, and more with each byte: the last is kept. */
static void
test_many_descriptors (void)
{
  static char frame[] = "\x05\0\0\0\x07\0\0\0\0";
  int pipe_fds[2];
  char byte;

  connect_pair ();
  g_assert_cmpint (pipe (pipe_fds), ==, 0);
  for (gsize i = 0; i < sizeof frame - 1; i++) {
    union {
      char bytes[CMSG_SPACE (2 * sizeof (int))];
      struct cmsghdr aligned;
    } control = { { 0 } };
    struct iovec data = { frame + i, 1 };
    struct msghdr header = {
      .msg_iov = &data, .msg_iovlen = 1,
      .msg_control = &control, .msg_controllen = sizeof control,
    };
    struct cmsghdr *rights = CMSG_FIRSTHDR (&header);
    const int both[] = { pipe_fds[1], pipe_fds[1] };
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN (sizeof both);
    memcpy (CMSG_DATA (rights), both, sizeof both);
    g_assert_cmpint (sendmsg (fds[0], &header, 0), ==, 1);
  }
  close (pipe_fds[1]);
  {
    g_auto (Message) message = { 0 };
    g_assert_true (message_receive (fds[1], 1000, &message));
    g_assert_cmpuint (message.kind, ==, 7);
    g_assert_true (message.has_fd);
  }
  /* Nobody holds its other end any more. */
  g_assert_cmpint (fcntl (pipe_fds[0], F_SETFL, O_NONBLOCK), ==, 0);
  g_assert_cmpint (read (pipe_fds[0], &byte, 1), ==, 0);
  close (pipe_fds[0]);
  close_pair ();
}

/* Larger than a socket's buffer: sender and receiver wait for each other. */
static gpointer
send_large (gpointer text)
{
  const char *const texts[] = { text, NULL };

  return GINT_TO_POINTER (message_send (fds[0], 1, texts));
}

static void
test_large (void)
{
  g_autofree char *text = g_strnfill (8 * 1024 * 1024, 'x');
  g_auto (Message) message = { 0 };

  connect_pair ();
  GThread *thread = g_thread_new ("send", send_large, text);
  g_assert_true (message_receive (fds[1], 10000, &message));
  g_assert_true (GPOINTER_TO_INT (g_thread_join (thread)));
  g_assert_cmpstr (message_text (&message, 0), ==, text);
  close_pair ();
}

static void
test_too_large (void)
{
  g_autofree char *text = g_strnfill (MESSAGE_MAX_BYTES, 'x');
  const char *const texts[] = { text, NULL };

  connect_pair ();
  g_assert_false (message_send (fds[0], 1, texts));
  g_assert_cmpint (errno, ==, EMSGSIZE);
  close_pair ();
}

static void
test_silent (void)
{
  g_auto (Message) message = { 0 };
  const guint32 length = 100;

  connect_pair ();
  g_assert_false (message_receive (fds[1], 20, &message));
  g_assert_cmpint (errno, ==, ETIMEDOUT);
  g_assert_cmpint (send (fds[0], &length, sizeof length, 0), >, 0);
  g_assert_false (message_receive (fds[1], 20, &message));
  g_assert_cmpint (errno, ==, ETIMEDOUT);
  close_pair ();
}

static void
test_gone (void)
{
  const char *const none[] = { NULL };
  g_auto (Message) message = { 0 };

  connect_pair ();
  close (fds[0]);
  g_assert_false (message_receive (fds[1], 1000, &message));
  g_assert_cmpint (errno, ==, ECONNRESET);
  g_assert_false (message_send (fds[1], 1, none));
  g_assert_cmpint (errno, ==, EPIPE);
  close (fds[1]);
}

static void
test_something_else (void)
{
  g_auto (Message) message = { 0 };

  connect_pair ();
  g_assert_cmpint (send (fds[0], "\xff\xff\xff\xff", 4, 0), ==, 4);
  g_assert_false (message_receive (fds[1], 1000, &message));
  g_assert_cmpint (errno, ==, EPROTO);
  /* A frame of nonsense is a message without sense, but no harm. */
  g_assert_cmpint (send (fds[0], "\x05\0\0\0\xff\xff\xff\xff\xff", 9, 0), ==,
                   9);
  g_assert_true (message_receive (fds[1], 1000, &message));
  g_assert_nonnull (message.texts);
  close_pair ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/message/in-order", test_in_order);
  g_test_add_func ("/message/descriptor", test_descriptor);
  g_test_add_func ("/message/many-descriptors", test_many_descriptors);
  g_test_add_func ("/message/large", test_large);
  g_test_add_func ("/message/too-large", test_too_large);
  g_test_add_func ("/message/silent", test_silent);
  g_test_add_func ("/message/gone", test_gone);
  g_test_add_func ("/message/something-else", test_something_else);
  return g_test_run ();
}
