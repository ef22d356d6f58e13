/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * libnbd's synchronous calls wait for ever, so its asynchronous ones are
 * polled here with a deadline.  It does not clear buffers before it reads into
 * them: a read that fails is an error to our client, who gets no byte of it.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "error.h"
#include "nbd-connect.h"

#define BITMAPS_LIMIT 10000

typedef int (*IsPending) (struct nbd_handle *);

/* Poll while pending says so.  0, or an errno. */
static int
poll_until (struct nbd_handle *nbd, IsPending is_pending, int timeout_ms)
{
  const gint64 deadline = g_get_monotonic_time () + timeout_ms * 1000LL;

  while (is_pending (nbd) == 1) {
    const gint64 left = (deadline - g_get_monotonic_time ()) / 1000;
    if (left <= 0)
      return ETIMEDOUT;
    if (nbd_poll (nbd, (int) left) == -1)
      return nbd_get_errno () ? nbd_get_errno () : EIO;
  }
  return 0;
}

static int
is_connecting (struct nbd_handle *nbd)
{
  return nbd_aio_is_connecting (nbd);
}

static int
is_created (struct nbd_handle *nbd)
{
  return nbd_aio_is_created (nbd) || nbd_aio_is_connecting (nbd);
}

/* libnbd's words without the name of its function. */
static const char *
reason (int failure)
{
  const char *text = nbd_get_error ();

  /* It may be of an earlier call. */
  if (!text || (nbd_get_errno () && nbd_get_errno () != failure))
    return g_strerror (failure);
  const char *colon = g_str_has_prefix (text, "nbd_")
    ? strstr (text, ": ") : NULL;
  return colon ? colon + 2 : text;
}

static bool
connect_failed (const char *where, int failure, GError **error)
{
  if (failure == ETIMEDOUT)
    return error_set (error, failure, "%s: no answer within %d s; is it an "
                      "NBD server, and does it let in another client "
                      "(qemu-nbd needs --shared=8)?", where,
                      NBD_CONNECT_TIMEOUT_MS / 1000);
  if (failure == EMFILE)
    return error_set (error, failure, "%s: %s, and as many as nbdkit may open; "
                      "raise the limit as root (ulimit -n NUMBER, or "
                      "LimitNOFILE= of a systemd unit)", where,
                      g_strerror (failure));
  return error_set (error, failure, "%s: %s; nbdinfo --list tells whether the "
                    "server runs and what it exports", where,
                    reason (failure));
}

/* The connecting socket is ours, so that the name may be one in /proc.  0, or
 * an errno: libnbd's is of the last call that failed, whichever it was.
 */
static int
connect_unix (struct nbd_handle *nbd, const char *path)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  const int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (fd < 0)
    return errno;
  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  if (connect (fd, (struct sockaddr *) &address, sizeof address) < 0) {
    const int failure = errno;
    close (fd);
    return failure;
  }
  if (nbd_aio_connect_socket (nbd, fd) == -1) /* takes fd */
    return nbd_get_errno () ? nbd_get_errno () : EINVAL;
  return 0;
}

struct nbd_handle *
nbd_connect_look (const char *uri, const char *what, GError **error)
{
  struct nbd_handle *nbd = nbd_create ();
  int failure = 0;

  if (!nbd || nbd_set_opt_mode (nbd, true) == -1
      || nbd_set_pread_initialize (nbd, false) == -1
      || nbd_set_uri_allow_local_file (nbd, true) == -1
      || nbd_aio_connect_uri (nbd, uri) == -1)
    failure = nbd_get_errno () ? nbd_get_errno () : EINVAL;
  else
    failure = poll_until (nbd, is_created, NBD_CONNECT_TIMEOUT_MS);
  if (!failure && nbd_aio_is_negotiating (nbd) != 1)
    failure = nbd_get_errno () ? nbd_get_errno () : ECONNREFUSED;
  if (failure) {
    connect_failed (what, failure, error);
    nbd_close (nbd);
    return NULL;
  }
  return nbd;
}

typedef struct {
  GPtrArray *names;
  bool done;
  int errnum;
} Listing;

static int
context_seen (void *opaque, const char *name)
{
  Listing *listing = opaque;

  if (g_str_has_prefix (name, NBD_CONTEXT_BITMAP)
      && listing->names->len < BITMAPS_LIMIT)
    g_ptr_array_add (listing->names,
                     g_strdup (name + strlen (NBD_CONTEXT_BITMAP)));
  return 0;
}

static int
listing_completed (void *opaque, int *error)
{
  Listing *listing = opaque;

  listing->done = true;
  listing->errnum = *error;
  return 1;
}

GPtrArray *
nbd_connect_bitmaps (struct nbd_handle *nbd, const char *what, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  Listing listing = { names, false, 0 };
  int failure = 0;

  if (nbd_add_meta_context (nbd, NBD_CONTEXT_BITMAP) == -1
      || nbd_aio_opt_list_meta_context (
        nbd, (nbd_context_callback) { .callback = context_seen,
                                      .user_data = &listing },
        (nbd_completion_callback) { .callback = listing_completed,
                                    .user_data = &listing }) == -1)
    failure = nbd_get_errno () ? nbd_get_errno () : EIO;
  else
    failure = poll_until (nbd, is_connecting, NBD_CONNECT_TIMEOUT_MS);
  if (!failure && !listing.done)
    failure = EIO;
  if (failure || nbd_clear_meta_contexts (nbd) == -1) {
    error_set (error, failure, "%s: the server does not tell its bitmaps: %s; "
               "if it requires TLS, write nbds: or nbds+unix:", what,
               reason (failure));
    return NULL;
  }
  return g_steal_pointer (&names);
}

static bool
check_export (struct nbd_handle *nbd, const char *bitmap_context,
              const char *what, GError **error)
{
  if (nbd_is_read_only (nbd) != 1)
    return error_set (error, EPERM, "%s is exported writable, so its data "
                      "and its bitmap could change while they are read; "
                      "export it read-only (qemu-nbd --read-only, or "
                      "\"writable\": false)", what);
  if (bitmap_context && nbd_can_meta_context (nbd, bitmap_context) != 1)
    return error_set (error, ENOENT, "%s: the server does not offer %s%s",
                      what, bitmap_context,
                      strcmp (bitmap_context, NBD_CONTEXT_DEPTH) == 0
                      ? ", which tells what is allocated in this layer: "
                      "export it with qemu-nbd -A, or with "
                      "\"allocation-depth\": true" : " any more");
  return true;
}

bool
nbd_connect_go (struct nbd_handle *nbd, const char *bitmap_context,
                const char *what, GError **error)
{
  int failure = 0;

  if (nbd_add_meta_context (nbd, NBD_CONTEXT_ALLOCATION) == -1
      || (bitmap_context && nbd_add_meta_context (nbd, bitmap_context) == -1)
      || nbd_aio_opt_go (nbd, NBD_NULL_COMPLETION) == -1)
    failure = nbd_get_errno () ? nbd_get_errno () : EIO;
  else
    failure = poll_until (nbd, is_connecting, NBD_CONNECT_TIMEOUT_MS);
  if (!failure && nbd_aio_is_ready (nbd) != 1)
    failure = nbd_get_errno () ? nbd_get_errno () : ENOENT;
  if (failure)
    return connect_failed (what, failure, error);
  return check_export (nbd, bitmap_context, what, error);
}

struct nbd_handle *
nbd_connect_endpoint (const NbdEndpoint *endpoint, bool want_zeroes,
                      int timeout_ms, GError **error)
{
  struct nbd_handle *nbd = nbd_create ();
  const char *dirty = endpoint->full || endpoint->bits ? NULL
    : endpoint->bitmap_context ? endpoint->bitmap_context : NBD_CONTEXT_DEPTH;
  int failure = 0;

  if (!nbd || nbd_set_uri_allow_local_file (nbd, true) == -1
      || nbd_set_pread_initialize (nbd, false) == -1
      || (endpoint->export_name
          && nbd_set_export_name (nbd, endpoint->export_name) == -1)
      || (want_zeroes
          && nbd_add_meta_context (nbd, NBD_CONTEXT_ALLOCATION) == -1)
      || (dirty && nbd_add_meta_context (nbd, dirty) == -1)
      || (endpoint->uri && nbd_aio_connect_uri (nbd, endpoint->uri) == -1))
    failure = nbd_get_errno () ? nbd_get_errno () : EINVAL;
  else if (!endpoint->uri)
    failure = connect_unix (nbd, endpoint->socket);
  if (!failure)
    failure = poll_until (nbd, is_created, timeout_ms);
  if (!failure && nbd_aio_is_ready (nbd) != 1)
    failure = nbd_get_errno () ? nbd_get_errno () : ECONNREFUSED;
  if (failure)
    connect_failed (endpoint->what, failure, error);
  else if (check_export (nbd, dirty, endpoint->what, error))
    return nbd;
  nbd_close (nbd);
  return NULL;
}

NbdAnswer
nbd_connect_wait (struct nbd_handle *nbd, gint64 cookie, int *errnum)
{
  const gint64 deadline
    = g_get_monotonic_time () + NBD_ANSWER_TIMEOUT_MS * 1000LL;

  *errnum = 0;
  for (;;) {
    const int done = nbd_aio_command_completed (nbd, cookie);
    if (done == 1)
      return NBD_ANSWERED;
    if (done == -1) {
      *errnum = nbd_get_errno () ? nbd_get_errno () : EIO;
      return NBD_REFUSED;
    }
    const gint64 left = (deadline - g_get_monotonic_time ()) / 1000;
    if (left <= 0) {
      *errnum = ETIMEDOUT;
      return NBD_UNANSWERED;
    }
    if (nbd_poll (nbd, (int) left) == -1) {
      *errnum = nbd_get_errno () ? nbd_get_errno () : EIO;
      return NBD_UNANSWERED;
    }
  }
}

static int
is_open (struct nbd_handle *nbd)
{
  return nbd_aio_is_closed (nbd) != 1 && nbd_aio_is_dead (nbd) != 1;
}

void
nbd_connect_close (struct nbd_handle *nbd)
{
  if (nbd && nbd_aio_is_ready (nbd) == 1
      && nbd_aio_disconnect (nbd, 0) == 0)
    poll_until (nbd, is_open, NBD_GOODBYE_MS);
  nbd_close (nbd);
}
