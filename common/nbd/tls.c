/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "nbd/check.h"
#include "nbd/tls.h"
#include "nbd/trust.h"

#define DEFAULT_PORT 10809

bool
nbd_tls_is_for (const char *uri)
{
  g_autoptr (ParsedUri) parsed = xmlParseURI (uri);

  if (!parsed || g_strcmp0 (parsed->scheme, "nbds") != 0
      || !g_str_has_prefix (uri, "nbds://"))
    return false;
  g_autofree char *path = nbd_trust_parameter (parsed->query_raw, "socket");
  return !path;
}

/* A new socket, connected to this address; or -1 with errno. */
static int
connect_to (const struct addrinfo *to, const NbdLife *life, gint64 deadline)
{
  auto_fd fd = socket (to->ai_family,
                       to->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                       to->ai_protocol);
  int failure = fd < 0 ? errno : 0;
  socklen_t length = sizeof failure;

  if (!failure && connect (fd, to->ai_addr, to->ai_addrlen) < 0)
    failure = errno == EINPROGRESS
      ? nbd_life_wait (life, fd, POLLOUT, deadline) : errno;
  if (!failure
      && getsockopt (fd, SOL_SOCKET, SO_ERROR, &failure, &length) < 0)
    failure = errno;
  if (!failure) {
    setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &(int) { 1 }, sizeof (int));
    return g_steal_fd (&fd);
  }
  errno = failure;
  return -1;
}

/* As the one before, of each address that the host has; ENODATA: it has none.
 */
static int
connect_to_host (const char *host, int port, const NbdLife *life,
                 gint64 deadline)
{
  const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
  g_autofree char *service = g_strdup_printf ("%d", port);
  struct addrinfo *addresses = NULL;
  int fd = -1, first_failure = 0;

  const int refusal = getaddrinfo (host, service, &hints, &addresses);
  if (refusal != 0) {
    errno = refusal == EAI_SYSTEM ? errno : refusal == EAI_AGAIN ? EAGAIN
      : refusal == EAI_MEMORY ? ENOMEM : ENODATA;
    return -1;
  }
  /* The question may have taken long. */
  if (nbd_life_is_over (life))
    first_failure = ESHUTDOWN;
  for (const struct addrinfo *to = addresses;
       to && fd < 0 && !nbd_life_is_over (life); to = to->ai_next) {
    fd = connect_to (to, life, deadline);
    first_failure = first_failure ? first_failure : errno;
  }
  freeaddrinfo (addresses);
  errno = first_failure;
  return fd;
}

#ifdef LIBNBD_HAVE_NBD_SET_TLS_HOSTNAME
#define CAN_NAME_HOST true

static bool
name_host (struct nbd_handle *nbd, const char *host)
{
  return nbd_set_tls_hostname (nbd, host) == 0;
}

static bool
is_named (struct nbd_handle *nbd, const char *host)
{
  char *kept = nbd_get_tls_hostname (nbd);
  const bool is_same = g_strcmp0 (kept, host) == 0;

  free (kept);
  return is_same;
}
#else
#define CAN_NAME_HOST false

/* It keeps the name of a host to which it could not connect, and it can not
 * where there is no such service.
 */
static bool
name_host (struct nbd_handle *nbd, const char *host)
{
  return nbd_aio_connect_tcp (nbd, host,
                              "no-such-service-of-nbdkit-checkpoint") == -1;
}

static bool
is_named (struct nbd_handle *nbd, const char *host)
{
  char *kept = nbd_get_uri (nbd);
  const bool is_same = kept && strstr (kept, host);

  free (kept);
  return is_same;
}
#endif

/* What nbd_aio_connect_uri sets. */
static bool
configure (struct nbd_handle *nbd, const xmlURI *uri)
{
  g_autofree char *folder = nbd_trust_parameter (uri->query_raw,
                                                 "tls-certificates");
  g_autofree char *key = nbd_trust_parameter (uri->query_raw, "tls-psk-file");

  return nbd_set_tls (nbd, LIBNBD_TLS_REQUIRE) == 0
    && (!folder || nbd_set_tls_certificates (nbd, folder) == 0)
    && (!key || nbd_set_tls_psk_file (nbd, key) == 0)
    && (!uri->user || nbd_set_tls_username (nbd, uri->user) == 0)
    && nbd_set_export_name (nbd, uri->path ? uri->path + 1 : "") == 0;
}

/* libnbd reads at once from what it is given: so from a socket on which nothing
 * comes, in whose place the server's is put then.  Without a host's name
 * nothing would be verified.  0, or an errno.
 */
static int
hand_over (struct nbd_handle *nbd, const char *host, int fd)
{
  int pair[2], failure = 0;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
    return errno;
  if (!host[0] || !name_host (nbd, host)) {
    close (pair[1]);
    failure = ENOTSUP;
  }
  else if (nbd_aio_connect_socket (nbd, pair[1]) == -1) /* takes pair[1] */
    failure = nbd_errno (EINVAL);
  else if (!is_named (nbd, host))
    failure = ENOTSUP;
  else if (dup3 (fd, nbd_aio_get_fd (nbd), O_CLOEXEC) < 0)
    failure = errno;
  close (pair[0]);
  return failure;
}

/* The server's host, or the name in its certificate; to be freed. */
static char *
host_of (const xmlURI *uri, bool is_of_certificate)
{
  char *name = is_of_certificate && CAN_NAME_HOST
    ? nbd_trust_parameter (uri->query_raw, "tls-hostname") : NULL;
  const char *server = uri->server ? uri->server : "localhost";
  const gsize length = strlen (server);

  if (name && !name[0])
    g_clear_pointer (&name, g_free);
  return name ? name
    : length >= 2 && server[0] == '[' && server[length - 1] == ']'
    ? g_strndup (server + 1, length - 2) : g_strdup (server);
}

int
nbd_tls_connect (struct nbd_handle *nbd, const char *uri, const NbdLife *life,
                 gint64 deadline)
{
  g_autoptr (ParsedUri) parsed = xmlParseURI (uri);

  if (!parsed)
    return EINVAL;
  if (!configure (nbd, parsed))
    return nbd_errno (ENOTSUP);
  g_autofree char *host = host_of (parsed, false);
  g_autofree char *vouched = host_of (parsed, true);
  auto_fd fd = connect_to_host (host, parsed->port > 0 ? parsed->port
                                : DEFAULT_PORT, life, deadline);
  return fd < 0 ? errno : hand_over (nbd, vouched, fd);
}
