/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * libnbd's descriptor may be exchanged whenever libnbd is not running: it reads
 * no further than the message that it expects, so all that it has not taken is
 * still in the socket.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "nbd/check.h"
#include "nbd/go-ahead.h"
#include "nbd/handshake.h"

#define PIECE 65536
/* How soon it is noticed that we are told to end. */
#define TICK_MS 100
/* For libnbd to hear of the end. */
#define FINISH_MS 5000

typedef struct {
  NbdLife *life;
  gint64 deadline;
  gsize left;                   /* bytes that may still come */
  int server;
  int ours;                     /* the other end of libnbd's */
  int ended[2];                 /* a pipe, whose end tells of libnbd's */
  NbdGoAhead *ahead;            /* NULL: libnbd's bytes go on as they are */
  bool is_mute;                 /* with ahead: nothing more of libnbd's goes on, */
  bool is_astray;               /* as it is not what ahead expects */
  int failure;                  /* why it was cut short */
} Between;

/* life NULL: also once it is over. */
static bool
await_room (int fd, const NbdLife *life, gint64 deadline)
{
  struct pollfd pollfd = { .fd = fd, .events = POLLOUT };

  if (life)
    return nbd_life_wait (life, fd, POLLOUT, deadline) == 0;
  poll (&pollfd, 1, nbd_budget_left (deadline));
  return nbd_budget_left (deadline) > 0;
}

static bool
send_all (int fd, const char *bytes, gsize length, const NbdLife *life,
          gint64 deadline)
{
  while (length > 0) {
    const ssize_t n = send (fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      bytes += n;
      length -= (gsize) n;
    }
    else if ((errno != EAGAIN && errno != EINTR)
             || !await_room (fd, life, deadline))
      return false;
  }
  return true;
}

/* All that libnbd sends goes through here.  What has gone on with ahead is whole. */
static bool
send_on (Between *between, const char *bytes, gsize length, const NbdLife *life,
         gint64 deadline)
{
  g_autoptr (GByteArray) sent = g_byte_array_new ();

  if (!between->ahead)
    return send_all (between->server, bytes, length, life, deadline);
  if (between->is_mute)
    return true;
  if (!nbd_go_ahead (between->ahead, bytes, length, sent))
    between->is_mute = between->is_astray = true;
  return send_all (between->server, (const char *) sent->data, sent->len, life,
                   deadline);
}

static bool
pass_from_libnbd (Between *between)
{
  char bytes[PIECE];
  const ssize_t n = recv (between->ours, bytes, sizeof bytes, MSG_DONTWAIT);

  if (n < 0)
    return errno == EAGAIN || errno == EINTR;
  return n > 0 && send_on (between, bytes, (gsize) n, between->life,
                           between->deadline);
}

static bool
pass_from_server (Between *between)
{
  const int server = between->server;
  char bytes[PIECE];
  const ssize_t n = recv (server, bytes, MIN (sizeof bytes, between->left),
                          MSG_DONTWAIT);

  if (n < 0)
    return errno == EAGAIN || errno == EINTR;
  between->left -= (gsize) n;
  /* QEMU answers an option in two pieces, and the second waits until the first is
   * acknowledged (Nagle), for which the kernel takes 40 ms.  Not TCP: no harm.
   */
  setsockopt (server, IPPROTO_TCP, TCP_QUICKACK, &(int) { 1 }, sizeof (int));
  return n > 0 && send_all (between->ours, bytes, (gsize) n, between->life,
                            between->deadline);
}

static int
why_cut_short (const Between *between)
{
  /* In this order: it may be told to end between the two. */
  if (nbd_life_is_over (between->life))
    return nbd_life_is_stopped (between->life) ? ESHUTDOWN : EIO;
  return nbd_budget_left (between->deadline) == 0 ? ETIMEDOUT
    : between->left == 0 ? E2BIG : between->is_astray ? EBADMSG : 0;
}

/* libnbd hears of the end, but the option that it is sending goes on whole: a
 * server that waits for the rest of one does not answer who asks whether it
 * still negotiates (held.c).
 */
static void
finish (Between *between)
{
  const gint64 deadline = nbd_deadline_in (FINISH_MS);
  struct pollfd fds[] = {
    { .fd = between->ours, .events = POLLIN },
    { .fd = between->ended[0], .events = POLLIN },
  };
  char bytes[PIECE];

  between->is_mute = true;
  shutdown (between->ours, SHUT_WR);
  while (nbd_budget_left (deadline) > 0) {
    if (poll (fds, G_N_ELEMENTS (fds), nbd_budget_left (deadline)) < 0)
      continue;
    const ssize_t n = fds[0].revents
      ? recv (between->ours, bytes, sizeof bytes, MSG_DONTWAIT) : -1;
    if (n == 0 || (n < 0 && fds[1].revents)
        || (n > 0 && !send_on (between, bytes, (gsize) n, NULL, deadline)))
      break;
  }
  shutdown (between->ours, SHUT_RDWR);
}

/* Until libnbd has ended, and all that it sent has gone on. */
static void *
stand_between (void *opaque)
{
  Between *between = opaque;
  struct pollfd fds[] = {
    { .fd = between->server, .events = POLLIN },
    { .fd = between->ours, .events = POLLIN },
    { .fd = between->ended[0], .events = POLLIN },
  };

  while (!(between->failure = why_cut_short (between))) {
    poll (fds, G_N_ELEMENTS (fds),
          MIN (TICK_MS, nbd_budget_left (between->deadline)));
    if (fds[1].revents && !pass_from_libnbd (between))
      fds[1].fd = -1;
    else if (fds[2].revents && !fds[1].revents)
      return NULL;
    if (fds[0].revents && !pass_from_server (between)) {
      fds[0].fd = -1;
      shutdown (between->ours, SHUT_WR);
    }
  }
  finish (between);
  return NULL;
}

/* A connection by TCP is made without waiting, to one address after another. */
static bool
is_connected (int fd)
{
  struct sockaddr_storage peer;
  socklen_t length = sizeof peer;

  return getpeername (fd, (struct sockaddr *) &peer, &length) == 0;
}

/* Until the socket is connected.  libnbd only learns what has failed: it would
 * go on at once, as far as the server has answered, and try TLS without a
 * bound.
 */
static int
connect_first (struct nbd_handle *nbd, NbdIsPending pending,
               const NbdLife *life, gint64 deadline)
{
  while (pending (nbd) == 1 && !is_connected (nbd_aio_get_fd (nbd))) {
    const int fd = nbd_aio_get_fd (nbd);
    const int failure
      = fd < 0 ? 0 : nbd_life_wait (life, fd, POLLOUT, deadline);
    if (failure)
      return failure;
    if (!is_connected (fd) && nbd_poll (nbd, 0) == -1)
      return nbd_errno (EIO);
  }
  return 0;
}

/* Put a pair of sockets in place of libnbd's. */
static bool
step_in (Between *between, int fd)
{
  int pair[2];

  between->server = fcntl (fd, F_DUPFD_CLOEXEC, 0);
  if (between->server < 0 || pipe2 (between->ended, O_CLOEXEC) < 0
      || socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
    return false;
  between->ours = pair[0];
  const bool ok = dup3 (pair[1], fd, O_CLOEXEC) >= 0;
  close (pair[1]);
  return ok;
}

/* Whoever sends what nobody asked for would be a step ahead from then on. */
static int
step_out (Between *between, int fd)
{
  int unread = 0;

  if (ioctl (fd, FIONREAD, &unread) < 0 || unread > 0)
    return EPROTO;
  return dup3 (between->server, fd, O_CLOEXEC) < 0 ? errno : 0;
}

static int
ask_for_export (struct nbd_handle *nbd)
{
  return nbd_aio_opt_go (nbd, NBD_NULL_COMPLETION);
}

static bool
is_open (struct nbd_handle *nbd)
{
  return nbd_aio_is_dead (nbd) != 1 && nbd_aio_is_closed (nbd) != 1;
}

/* begin: what is to be done first, while we stand in between; or NULL. */
static int
let_go_on (Between *between, struct nbd_handle *nbd,
           int (*begin) (struct nbd_handle *nbd), NbdIsPending pending)
{
  int failure = begin && begin (nbd) == -1 ? nbd_errno (EIO) : 0;

  while (!failure && pending (nbd) == 1)
    if (nbd_poll (nbd, -1) == -1)
      failure = nbd_errno (EIO);
  if (!failure && !is_open (nbd))
    failure = nbd_errno (EIO);
  close_fd (&between->ended[1]);
  return failure;
}

static int
negotiate (Between *between, struct nbd_handle *nbd,
           int (*begin) (struct nbd_handle *nbd), NbdIsPending pending)
{
  const int fd = nbd_aio_get_fd (nbd);
  GThread *thread = step_in (between, fd)
    ? g_thread_try_new ("handshake", stand_between, between, NULL) : NULL;
  int failure;

  if (!thread)
    failure = errno ? errno : EAGAIN;
  else {
    failure = let_go_on (between, nbd, begin, pending);
    g_thread_join (thread);
    if (between->failure)
      failure = between->failure;
    if (!failure)
      failure = step_out (between, fd);
  }
  if (failure && between->server >= 0)
    nbd_life_see_off (between->life, nbd, between->server);
  close_fd (&between->server);
  close_fd (&between->ours);
  close_fd (&between->ended[0]);
  if (!failure && !is_open (nbd))
    failure = nbd_errno (EIO);
  close_fd (&between->ended[1]);
  return failure;
}

#define BETWEEN_INIT(life_, most, deadline_) \
  { .life = (life_), .deadline = (deadline_), .left = (most), .server = -1, \
    .ours = -1, .ended = { -1, -1 } }

int
nbd_handshake (struct nbd_handle *nbd, NbdIsPending pending, NbdLife *life,
               gsize most, gint64 deadline)
{
  Between between = BETWEEN_INIT (life, most, deadline);
  const int failure = connect_first (nbd, pending, life, deadline);

  return failure || pending (nbd) != 1
    ? failure : negotiate (&between, nbd, NULL, pending);
}

int
nbd_handshake_go (struct nbd_handle *nbd, bool ahead, NbdLife *life, gsize most,
                  gint64 deadline)
{
  Between between = BETWEEN_INIT (life, most, deadline);
  g_autofree char *name = ahead ? nbd_get_export_name (nbd) : NULL;
  g_autoptr (GByteArray) option = g_byte_array_new ();
  NbdGoAhead go = { .export_name = name, .option = option };

  between.ahead = name ? &go : NULL;
  return negotiate (&between, nbd, ask_for_export, nbd_aio_is_connecting);
}
