/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The life that all connections of one source share: once its server is lost,
 * or we are told to end, all of them are over, for good.  A server that came
 * back under the same name might show another point in time, or another disk.
 *
 * It also bounds every wait.  libnbd's own calls may not return while a server
 * sends without pause or makes its TLS library try again and again, so a thread
 * looks after those who wait, and cuts off a connection whose time is up.
 *
 * All functions may be called from any thread, unless they say otherwise.
 * Deadlines are monotonic, in microseconds.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

typedef struct NbdLife NbdLife;

/* stop: becomes true (atomically) when the process is told to end; NULL: never.
 * patience_ms: how long one request of a client may take in all; 0:
 * NBD_PATIENCE_MS.
 */
NbdLife *nbd_life_new (const gint *stop, guint patience_ms);
/* Nobody may use it any more.  NULL is fine. */
void nbd_life_free (NbdLife *life);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (NbdLife, nbd_life_free)

#define NBD_PATIENCE_MS 120000

/* Have we been told to end?  Then nothing is waited for any more. */
bool nbd_life_is_stopped (const NbdLife *life);
/* Is it over: are we told to end, or is the server lost? */
bool nbd_life_is_over (const NbdLife *life);

/* The server is lost.  True for the first one who says so: the one to report
 * it.
 */
bool nbd_life_end (NbdLife *life);

/* Memory for what is read ahead, by all clients together.  Bytes that were given
 * are to be given back.  False: taking them would leave less than for_others.
 */
#define NBD_AHEAD_BYTES (56 * 1024 * 1024)
bool nbd_life_take_memory (NbdLife *life, gsize bytes, gsize for_others);
void nbd_life_return_memory (NbdLife *life, gsize bytes);

/* Connections that tell by hanging up that the server is gone.  To be called
 * with the connection open, and before it is closed.
 */
void nbd_life_add_sign (NbdLife *life, int fd);
void nbd_life_remove_sign (NbdLife *life, int fd);
/* Has none of them hung up?  To be asked after each connecting, which may have
 * met another server.
 */
bool nbd_life_check (NbdLife *life);

/* nbdkit has forked: from now on a thread may outlive the call that starts it.
 * To be called once, and only where nbd_life_when_serving is of use.
 */
void nbd_life_serve (NbdLife *life);
/* Have begin called as soon as that is so, which may be before this returns, or
 * never.  nbd_life_forget takes it back; not beside nbd_life_serve.
 */
void nbd_life_when_serving (NbdLife *life, void (*begin) (void *opaque),
                            void *opaque);
void nbd_life_forget (NbdLife *life, const void *opaque);
bool nbd_life_is_serving (NbdLife *life);

/* Somebody who keeps connections open for us until what they lead to may lose
 * them: a guest's QEMU 7.2 dies where one of its backup job is closed (see
 * HACKING.md), and we may be killed.
 */
typedef struct {
  /* Keep a copy of the descriptor of a connection that may become an export's
   * from now on.  False: there is nobody to do so.
   */
  bool (*hold) (void *opaque, guint64 id, int fd, bool encrypted);
  /* It has become the export's.  If we let go of one without saying this, it
   * must be found out before the job ends: QEMU 7.2 waits for ever for a client
   * that still negotiates when its server is to stop.
   */
  void (*settle) (void *opaque, guint64 id);
  /* We receive nothing more on it.  What still comes must be received, since
   * QEMU waits for all of that before it ends a job or makes a snapshot.
   */
  void (*let_go) (void *opaque, guint64 id);
} NbdHolder;

/* Before anything is connected. */
void nbd_life_set_holder (NbdLife *life, const NbdHolder *holder,
                          void *opaque);
bool nbd_life_has_holder (const NbdLife *life);
/* Have a connection held before it asks for an export.  key: whose it is.  True
 * without a holder.
 */
bool nbd_life_hold (NbdLife *life, const void *key, int fd, bool encrypted);
/* It has its export, and negotiates no more. */
void nbd_life_settle (NbdLife *life, const void *key);
/* To be called before it is closed, whether or not it is held.  One that is not
 * is seen off, before anybody is told that it does not negotiate any more.  fd
 * -1: it was never connected, or has been seen off.
 */
void nbd_life_let_go (NbdLife *life, const void *key, int fd);
/* A connection that negotiates is given up: unless it is held, or there is no
 * holder, tell the server, and wait until it has closed it, too, for
 * NBD_SEEN_OFF_MS at most.
 */
void nbd_life_see_off (NbdLife *life, const void *key, int fd);
#define NBD_SEEN_OFF_MS 2000

/* A connection begins to negotiate, until nbd_life_settle or nbd_life_let_go:
 * with a holder, that must be over before the job ends (see settle).  False: it
 * must not begin, for the life is over.
 */
bool nbd_life_negotiate (NbdLife *life, const void *key);
/* End the life, and wait until none negotiates, so many milliseconds at most:
 * false if one still does.
 */
bool nbd_life_end_calmly (NbdLife *life, guint milliseconds);

/* Does this connection lead to the server that was met first under its name?
 * It may have been replaced while it lives on.  Known of Unix sockets only, by
 * the process that listens (unix(7), SO_PEERCRED): true for all others.
 */
bool nbd_life_meets_same (NbdLife *life, int fd);

/* What one request of a client may cost, whatever answers it takes. */
typedef struct {
  gint64 deadline;
  guint answers;                /* still allowed */
} NbdBudget;

NbdBudget nbd_life_budget (const NbdLife *life);
/* One more answer is to be waited for: 0, or why not (ETIMEDOUT, ESHUTDOWN).
 * Each has half of the request's time at least, and a request that has used up
 * the other half asks no more.  So a server that answers within that is never
 * taken for lost, however many questions a request needs.
 */
int nbd_life_spend (const NbdLife *life, NbdBudget *budget);
static inline gint64
nbd_deadline_in (gint64 milliseconds)
{
  return g_get_monotonic_time () + milliseconds * G_TIME_SPAN_MILLISECOND;
}

/* Milliseconds until the deadline, at least 0, at most G_MAXINT. */
int nbd_budget_left (gint64 deadline);

/* Wait until a descriptor has one of these events (poll (2)).  0, or an errno:
 * ETIMEDOUT, ESHUTDOWN once we are told to end, EIO once the server is lost.
 */
int nbd_life_wait (const NbdLife *life, int fd, short events, gint64 deadline);

/* A wait for the server, on the caller's stack. */
typedef struct {
  GList link;
  int fd;
  gint64 deadline;
  bool cut;                     /* its time was up, or we were told to end */
  bool shut;                    /* and the connection has been shut down */
} NbdWait;

/* A server that is well answers until so long after we are told to end. */
#define NBD_STOP_GRACE_MS 1000
/* So much longer, and so long after the deadline, where connections are held:
 * shutting one down ends its job, and the keeper may need 24 s until it ends that
 * itself (HEARD_WITHIN_MS of held.c).  It is only for waits in which libnbd itself
 * does not return.
 */
#define NBD_HELD_GRACE_MS 40000
/* From here until nbd_life_end_wait, which must come before fd is closed, the
 * connection is shut down at the deadline, or after these times: libnbd then
 * finds it broken.  Needs a thread: not before nbdkit has forked.
 */
void nbd_life_begin_wait (NbdLife *life, NbdWait *wait, int fd,
                          gint64 deadline);
/* Why the wait was cut short (ETIMEDOUT, ESHUTDOWN), or 0. */
int nbd_life_end_wait (NbdLife *life, NbdWait *wait);
