/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * libnbd's synchronous calls wait for ever, so its asynchronous ones are polled
 * here with a deadline.  handshake.c keeps it while connecting, and life.c
 * while an answer is awaited (nbd_life_begin_wait).  libnbd is told not to
 * clear buffers before it reads into them: a client gets no byte of a failed
 * read.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/error.h"
#include "base/fd.h"
#include "nbd/check.h"
#include "nbd/connect.h"
#include "nbd/handshake.h"
#include "nbd/peer.h"
#include "nbd/tls.h"
#include "nbd/trust.h"

/* More names of bitmaps, or longer ones, are refused.  QEMU's are of at most
 * 1023 bytes (block/qcow2-bitmap.c).
 */
#define BITMAPS_LIMIT 10000
#define NAME_LIMIT 1023
/* Of what a server needs a map for, which may be a large one. */
#define DESCRIBE_TIMEOUT_MS 60000

/* What a server may send to list its bitmaps, and of anything else before data.
 */
#define LIST_BYTES (16 * 1024 * 1024)
#define HANDSHAKE_BYTES (1024 * 1024)
/* How soon it is noticed that we are told to end, where we wait ourselves. */
#define TICK_MS 100
/* Instead of NBD_GOODBYE_MS, once life is over. */
#define SHORT_GOODBYE_MS 20

static int
is_created (struct nbd_handle *nbd)
{
  return nbd_aio_is_created (nbd) || nbd_aio_is_connecting (nbd);
}

/* Wait until a server of our own has let us in.  0, or an errno. */
static int
await_own (struct nbd_handle *nbd, const NbdLife *life, gint64 deadline)
{
  while (is_created (nbd) == 1) {
    const int left = nbd_budget_left (deadline);
    if (left == 0)
      return ETIMEDOUT;
    if (nbd_life_is_stopped (life))
      return ESHUTDOWN;
    if (nbd_poll (nbd, MIN (left, TICK_MS)) == -1)
      return nbd_errno (EIO);
  }
  return 0;
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
    return error_set (error, failure, "%s: %s, and as many as this process may "
                      "open; raise the limit as root (ulimit -n NUMBER, or "
                      "LimitNOFILE= of a systemd unit)", where,
                      g_strerror (failure));
  if (failure == ENODATA)
    return error_set (error, EHOSTUNREACH, "%s: no address is found for this "
                      "host's name", where);
  if (failure == EOWNERDEAD)
    return error_set (error, EIO, "%s: the process that keeps its connections "
                      "and ends its job is gone", where);
  if (failure == E2BIG || failure == EPROTO)
    return error_set (error, failure, "%s: the server sends %s, which no NBD "
                      "server does; is it the right one?", where,
                      failure == E2BIG ? "without end before any data"
                      : "what nobody asked for");
  if (failure == EBADMSG)
    return error_set (error, failure, "%s: this libnbd negotiates in an order that "
                      "is not known here; report it with what nbdinfo --version "
                      "says", where);
  const char *reason = nbd_check_reason (failure);
  /* Only an address that somebody else chose stands by itself. */
  if (strchr (where, ' '))
    return error_set (error, failure, "%s: %s", where, reason);
  g_autofree char *word = error_shell_word (where);
  return error_set (error, failure, "%s: %s; to see whether the server runs and "
                    "what it exports, type nbdinfo --list %s", where, reason,
                    word);
}

/* libnbd did not understand the address, nor would nbdinfo.  (Where nobody
 * listens on TCP, a handle is as good as new again, too.)
 */
static bool
is_malformed (struct nbd_handle *nbd, int failure)
{
  return nbd && failure == EINVAL && nbd_get_errno () == EINVAL
    && nbd_aio_is_created (nbd) == 1;
}

/* The connecting socket is ours, so that the name may be one in /proc.  0, or
 * an errno of this very call: libnbd's may be an earlier one's.
 */
static int
connect_unix (struct nbd_handle *nbd, const char *path)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  auto_fd fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  if (fd < 0
      || connect (fd, (struct sockaddr *) &address, sizeof address) < 0)
    return errno;
  if (nbd_aio_connect_socket (nbd, g_steal_fd (&fd)) == -1) /* takes it */
    return nbd_errno (EINVAL);
  return 0;
}

/* 0, or an errno. */
static int
begin (struct nbd_handle *nbd, const char *uri, const NbdLife *life,
       gint64 deadline)
{
  if (nbd_tls_is_for (uri))
    return nbd_tls_connect (nbd, uri, life, deadline);
  return nbd_aio_connect_uri (nbd, uri) == 0 ? 0 : nbd_errno (EINVAL);
}

/* Connect nbd, which is NULL if there is no memory for it. */
static bool
greet (NbdLife *life, struct nbd_handle *nbd, const char *uri,
       const char *what, gint64 deadline, GError **error)
{
  int failure = 0;

  if (nbd && !nbd_trust_check (nbd, uri, what, error))
    return false;
  if (nbd && !nbd_life_negotiate (life, nbd))
    failure = ESHUTDOWN;
  else if (!nbd || nbd_set_opt_mode (nbd, true) == -1
      || nbd_set_pread_initialize (nbd, false) == -1
      || nbd_set_uri_allow_local_file (nbd, true) == -1)
    failure = nbd_errno (EINVAL);
  else
    failure = begin (nbd, uri, life, deadline);
  if (!failure)
    failure = nbd_handshake (nbd, is_created, life, HANDSHAKE_BYTES, deadline);
  if (!failure && nbd_aio_is_negotiating (nbd) != 1)
    failure = nbd_errno (ECONNREFUSED);
  if (is_malformed (nbd, failure))
    return error_set (error, failure, "%s: %s; write it as "
                      "nbd+unix:///EXPORT?socket=PATH or nbd://HOST/EXPORT",
                      what, nbd_check_reason (failure));
  if (failure)
    return connect_failed (what, failure, error);
  if (!nbd_life_meets_same (life, nbd_aio_get_fd (nbd))) {
    error_set (error, ESTALE, "%s: another server has taken the socket "
               "meanwhile, and may show another disk", what);
    return error_advise (error, REMEDY_START_AGAIN, NULL);
  }
  return nbd_life_has_holder (life)
    || nbd_peer_bears_leaving (nbd_aio_get_fd (nbd), what, error);
}

struct nbd_handle *
nbd_connect_look (NbdLife *life, const char *uri, const char *what,
                  GError **error)
{
  struct nbd_handle *nbd = nbd_create ();

  if (greet (life, nbd, uri, what, nbd_deadline_in (NBD_CONNECT_TIMEOUT_MS),
             error))
    return nbd;
  nbd_connect_drop (life, nbd);
  return NULL;
}

typedef struct {
  GPtrArray *names;
  bool too_many;
  bool done;
  int errnum;                   /* the server's refusal to list */
} Listing;

/* A name that was left out might be the one that is looked for. */
static int
context_seen (void *opaque, const char *name)
{
  Listing *listing = opaque;

  if (!g_str_has_prefix (name, NBD_CONTEXT_BITMAP))
    return 0;
  name += strlen (NBD_CONTEXT_BITMAP);
  if (listing->names->len == BITMAPS_LIMIT || strlen (name) > NAME_LIMIT
      || name[0] == '\0')
    listing->too_many = true;
  else
    g_ptr_array_add (listing->names, g_strdup (name));
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

/* Where QEMU serves a job of ours: a round trip may be long there, and who answers
 * is known.
 */
static bool
can_go_ahead (const NbdLife *life, struct nbd_handle *nbd)
{
  return nbd_life_has_holder (life) && nbd_get_tls_negotiated (nbd) == 0
    && nbd_get_full_info (nbd) == 0;
}

/* A connection is held from when it may become the export's: QEMU may be faster
 * than we, and we may be killed before we have its answer.
 */
static bool
go (NbdLife *life, struct nbd_handle *nbd, bool want_zeroes,
    const char *dirty, const char *what, gint64 deadline, GError **error)
{
  int failure = 0;

  if ((want_zeroes && nbd_add_meta_context (nbd, NBD_CONTEXT_ALLOCATION) == -1)
      || (dirty && nbd_add_meta_context (nbd, dirty) == -1))
    failure = nbd_errno (EINVAL);
  else if (!nbd_life_hold (life, nbd, nbd_aio_get_fd (nbd),
                           nbd_get_tls_negotiated (nbd) != 0))
    failure = EOWNERDEAD;
  else
    failure = nbd_handshake_go (nbd, can_go_ahead (life, nbd), life,
                                HANDSHAKE_BYTES, deadline);
  if (!failure && nbd_aio_is_ready (nbd) != 1)
    failure = nbd_errno (ENOENT);
  if (failure)
    return connect_failed (what, failure, error);
  nbd_life_settle (life, nbd);
  return nbd_check_export (nbd, want_zeroes, dirty, what, error);
}

bool
nbd_connect_go (NbdLife *life, struct nbd_handle *nbd,
                const char *bitmap_context, const char *what, GError **error)
{
  return go (life, nbd, true, bitmap_context, what,
             nbd_deadline_in (NBD_CONNECT_TIMEOUT_MS), error);
}

bool
nbd_connect_describe (NbdLife *life, struct nbd_handle *nbd, const char *what,
                      char **description, GError **error)
{
  *description = NULL;
  if (nbd_set_full_info (nbd, true) == -1)
    return connect_failed (what, nbd_errno (EINVAL), error);
  if (!go (life, nbd, true, NULL, what, nbd_deadline_in (DESCRIBE_TIMEOUT_MS),
           error))
    return false;
  *description = nbd_get_export_description (nbd);
  return true;
}

/* What is wrong with the export, the server tells only those who want it. */
static GPtrArray *
refused_to_list (NbdLife *life, struct nbd_handle *nbd,
                 const char *what, GError **error)
{
  g_autofree char *words = g_strdup (nbd_check_reason (ENOTSUP));

  if (nbd_clear_meta_contexts (nbd) == -1) /* it is dead already */
    connect_failed (what, nbd_errno (ENOTCONN), error);
  else if (go (life, nbd, false, NULL, what,
               nbd_deadline_in (NBD_CONNECT_TIMEOUT_MS), error))
    error_set (error, ENOTSUP, "%s: the server does not tell its bitmaps (%s), "
               "so nothing is known of what changed; is it QEMU's?", what,
               words);
  return NULL;
}

GPtrArray *
nbd_connect_bitmaps (NbdLife *life, struct nbd_handle *nbd,
                     const char *what, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  Listing listing = { .names = names };
  int failure = 0;

  if (nbd_add_meta_context (nbd, NBD_CONTEXT_BITMAP) == -1
      || nbd_aio_opt_list_meta_context (
        nbd, (nbd_context_callback) { .callback = context_seen,
                                      .user_data = &listing },
        (nbd_completion_callback) { .callback = listing_completed,
                                    .user_data = &listing }) == -1)
    failure = nbd_errno (EIO);
  else
    failure = nbd_handshake (nbd, nbd_aio_is_connecting, life, LIST_BYTES,
                             nbd_deadline_in (NBD_CONNECT_TIMEOUT_MS));
  if (listing.too_many)
    failure = E2BIG;
  if (failure == ETIMEDOUT) {
    connect_failed (what, failure, error);
    return NULL;
  }
  if (!failure && listing.errnum)
    return refused_to_list (life, nbd, what, error);
  if (!failure && !listing.done)
    failure = EIO;
  if (failure == E2BIG)
    return error_null (error, E2BIG, "%s: the server tells of more than %d "
                       "bitmaps, or of one with a name of more than %d bytes "
                       "or none, which is none of QEMU's", what,
                       BITMAPS_LIMIT, NAME_LIMIT);
  if (failure || nbd_clear_meta_contexts (nbd) == -1)
    return error_null (error, failure, "%s: the server does not tell its "
                       "bitmaps: %s; if it requires TLS, write nbds: or "
                       "nbds+unix:", what, nbd_check_reason (failure));
  return g_steal_pointer (&names);
}

/* Our own server: its socket is one without a name. */
static bool
connect_own (const NbdEndpoint *endpoint, struct nbd_handle *nbd,
             bool want_zeroes, gint64 deadline, GError **error)
{
  const char *dirty = nbd_endpoint_dirty_context (endpoint);
  int failure = 0;

  if (!nbd || nbd_set_pread_initialize (nbd, false) == -1
      || nbd_set_export_name (nbd, endpoint->export_name) == -1
      || (want_zeroes
          && nbd_add_meta_context (nbd, NBD_CONTEXT_ALLOCATION) == -1)
      || (dirty && nbd_add_meta_context (nbd, dirty) == -1))
    failure = nbd_errno (EINVAL);
  else
    failure = connect_unix (nbd, endpoint->socket);
  if (!failure)
    failure = await_own (nbd, endpoint->life, deadline);
  if (!failure && nbd_aio_is_ready (nbd) != 1)
    failure = nbd_errno (ECONNREFUSED);
  if (failure)
    return connect_failed (endpoint->what, failure, error);
  return nbd_check_export (nbd, want_zeroes, dirty, endpoint->what, error);
}

struct nbd_handle *
nbd_connect_endpoint (const NbdEndpoint *endpoint, bool want_zeroes,
                      int timeout_ms, GError **error)
{
  nbd_turnstile_enter (endpoint->turnstile);
  const gint64 deadline = nbd_deadline_in (timeout_ms);
  struct nbd_handle *nbd = nbd_create ();
  const bool connected = !endpoint->uri
    ? connect_own (endpoint, nbd, want_zeroes, deadline, error)
    : greet (endpoint->life, nbd, endpoint->uri, endpoint->what, deadline,
             error)
    && go (endpoint->life, nbd, want_zeroes,
           nbd_endpoint_dirty_context (endpoint), endpoint->what, deadline,
           error);
  nbd_turnstile_leave (endpoint->turnstile);
  if (connected)
    return nbd;
  nbd_connect_drop (endpoint->life, nbd);
  return NULL;
}

/* As nbd_connect_wait, but nobody looks after it. */
static NbdAnswer
poll_for_answer (struct nbd_handle *nbd, gint64 cookie, gint64 deadline,
                 int *errnum)
{
  int done;

  while ((done = nbd_aio_command_completed (nbd, cookie)) == 0) {
    const int left = nbd_budget_left (deadline);
    if (left == 0 || nbd_poll (nbd, left) == -1) {
      *errnum = left == 0 ? ETIMEDOUT : nbd_errno (EIO);
      return NBD_UNANSWERED;
    }
  }
  *errnum = done == 1 ? 0 : nbd_errno (EIO);
  return done == 1 ? NBD_ANSWERED : NBD_REFUSED;
}

NbdAnswer
nbd_connect_wait (NbdLife *life, struct nbd_handle *nbd, gint64 cookie,
                  gint64 deadline, int *errnum)
{
  NbdWait wait;

  nbd_life_begin_wait (life, &wait, nbd_aio_get_fd (nbd), deadline);
  const NbdAnswer answer = poll_for_answer (nbd, cookie, deadline, errnum);
  const int cut = nbd_life_end_wait (life, &wait);
  if (answer == NBD_ANSWERED || !cut)
    return answer;
  *errnum = cut;
  return NBD_UNANSWERED;
}

static int
is_open (struct nbd_handle *nbd)
{
  return nbd_aio_is_closed (nbd) != 1 && nbd_aio_is_dead (nbd) != 1;
}

void
nbd_connect_drop (NbdLife *life, struct nbd_handle *nbd)
{
  if (nbd)
    nbd_life_let_go (life, nbd, nbd_aio_get_fd (nbd));
  nbd_close (nbd);
}

void
nbd_connect_close_all (NbdLife *life, struct nbd_handle *const *handles,
                       guint count)
{
  const gint64 deadline = nbd_deadline_in (nbd_life_is_over (life)
                                       ? SHORT_GOODBYE_MS : NBD_GOODBYE_MS);
  g_autofree bool *told = g_new0 (bool, count);

  /* The server would close what is held. */
  for (guint i = 0; i < count && !nbd_life_has_holder (life); i++)
    told[i] = nbd_aio_is_ready (handles[i]) == 1
      && nbd_aio_disconnect (handles[i], 0) == 0;
  for (guint i = 0; i < count; i++) {
    while (told[i] && is_open (handles[i]) && nbd_budget_left (deadline) > 0
           && nbd_poll (handles[i], nbd_budget_left (deadline)) == 1)
      ;
    nbd_connect_drop (life, handles[i]);
  }
}

void
nbd_connect_close (NbdLife *life, struct nbd_handle *nbd)
{
  if (nbd)
    nbd_connect_close_all (life, &nbd, 1);
}
