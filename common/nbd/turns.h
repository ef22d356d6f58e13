/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A connection on which several threads have requests in flight.  They take
 * turns in receiving: one does so for all, and sleeps without the lock, so that
 * others can send.  Who waits alone is woken by nobody but the server.
 */
#pragma once

#include <libnbd.h>

#include "nbd/life.h"

typedef struct {
  NbdLife *life;                /* set once; borrowed */
  /* Set once, or NULL: called after something was received, and may send. */
  void (*received) (void *opaque);
  void *opaque;
  GMutex lock;                  /* held in all calls below, and guards: */
  struct nbd_handle *nbd;       /* NULL: none.  Closed only by who has taken it
                                 * from here with nbd_turns_take */
  int failure;                  /* an errno: nothing more is received on nbd */
  bool receiving;               /* somebody does, without the lock */
  GCond ended;                  /* and has stopped doing so */
  GQueue waiting;               /* of threads, the longest first */
} NbdTurns;

void nbd_turns_init (NbdTurns *turns, NbdLife *life);
/* Nobody waits any more.  Leaves nbd alone. */
void nbd_turns_clear (NbdTurns *turns);

/* Has the connection failed?  0, or an errno: ETIMEDOUT, ESHUTDOWN when we are
 * told to end, libnbd's, or ENOTCONN where there is none.
 */
int nbd_turns_failure (NbdTurns *turns);

/* Wait until *done, which a callback of libnbd's sets, but not beyond the
 * deadline (monotonic, microseconds).  The failure, or 0.
 */
int nbd_turns_wait (NbdTurns *turns, const bool *done, gint64 deadline);

/* Receive, as nbd_poll, and keep the lock all the time.  0 if somebody else
 * receives.
 */
int nbd_turns_receive (NbdTurns *turns, int milliseconds, gint64 deadline);

/* Take the connection away, as soon as nobody receives on it: all who wait are
 * told ENOTCONN, or the failure.  NULL if there is none any more.
 */
struct nbd_handle *nbd_turns_take (NbdTurns *turns);
