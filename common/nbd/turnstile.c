/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A lock for readers and a writer lets readers in before a writer that waits;
 * the mutex in front of it does not.  Whoever is told to end hears of it inside:
 * who connects and who commands QEMU look every tenth of a second.
 */
#include <config.h>

#include "nbd/turnstile.h"

void
nbd_turnstile_init (NbdTurnstile *turnstile)
{
  g_mutex_init (&turnstile->turn);
  g_rw_lock_init (&turnstile->inside);
}

void
nbd_turnstile_clear (NbdTurnstile *turnstile)
{
  g_rw_lock_clear (&turnstile->inside);
  g_mutex_clear (&turnstile->turn);
}

void
nbd_turnstile_enter (NbdTurnstile *turnstile)
{
  if (!turnstile)
    return;
  g_mutex_lock (&turnstile->turn);
  g_rw_lock_reader_lock (&turnstile->inside);
  g_mutex_unlock (&turnstile->turn);
}

void
nbd_turnstile_leave (NbdTurnstile *turnstile)
{
  if (turnstile)
    g_rw_lock_reader_unlock (&turnstile->inside);
}

void
nbd_turnstile_clear_out (NbdTurnstile *turnstile)
{
  g_mutex_lock (&turnstile->turn);
  g_rw_lock_writer_lock (&turnstile->inside);
}

void
nbd_turnstile_open (NbdTurnstile *turnstile)
{
  g_rw_lock_writer_unlock (&turnstile->inside);
  g_mutex_unlock (&turnstile->turn);
}
