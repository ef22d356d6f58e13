/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A look at the job costs the guest's QEMU a third of the time that it takes
 * us (measured: 1.1 of 3 ms, QEMU 7.2), so there is a pause after each that is
 * as long: however fast clients read, QEMU spends no more than a fifth of one
 * processor on it.
 */
#include <config.h>

#include <errno.h>

#include "nbd/witness.h"

/* A pause lasts so many times as long as the look before it.  Whoever reads one
 * block after another waits for both each time.
 */
#define PAUSE_FACTOR 1
/* But never longer than that: what a look takes longer, libvirt or the way to it
 * does, which may be far.
 */
#define PAUSE_MOST_US 10000
/* After a look that failed. */
#define PAUSE_FAILED_US 50000
#define TICK_US 100000

struct NbdWitness {
  NbdLife *life;
  NbdWitnessLook look;
  void *opaque;
  GMutex lock;                  /* guards what follows */
  GCond told;
  bool looking;
  gint64 began;                 /* the look under way, or the last one */
  gint64 next;                  /* no look begins before */
  gint64 alive;                 /* when the last look began that saw it so */
};

NbdWitness *
nbd_witness_new (NbdLife *life, NbdWitnessLook look, void *opaque)
{
  NbdWitness *witness = g_new0 (NbdWitness, 1);

  witness->life = life;
  witness->look = look;
  witness->opaque = opaque;
  g_mutex_init (&witness->lock);
  g_cond_init (&witness->told);
  return witness;
}

void
nbd_witness_free (NbdWitness *witness)
{
  if (!witness)
    return;
  g_mutex_clear (&witness->lock);
  g_cond_clear (&witness->told);
  g_free (witness);
}

void
nbd_witness_told (NbdWitness *witness, NbdWitnessWord word)
{
  const gint64 now = g_get_monotonic_time ();
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&witness->lock);
  const gint64 pause = word == NBD_WITNESS_UNKNOWN ? PAUSE_FAILED_US
    : MIN (PAUSE_FACTOR * (now - witness->began), PAUSE_MOST_US);

  witness->looking = false;
  witness->next = now + pause;
  if (word == NBD_WITNESS_ALIVE)
    witness->alive = witness->began;
  else if (word == NBD_WITNESS_DEAD)
    nbd_life_end (witness->life);
  g_cond_broadcast (&witness->told);
}

/* Call with the lock held; it is given up while the look is asked for.  What
 * came in the very microsecond in which a look begins may have come after.
 */
static bool
confirms (NbdWitness *witness, gint64 came)
{
  const gint64 now = g_get_monotonic_time ();

  if (witness->alive > came)
    return true;
  if (witness->looking || now < witness->next || now <= came)
    return false;
  witness->looking = true;
  witness->began = now;
  g_mutex_unlock (&witness->lock);
  witness->look (witness->opaque);
  g_mutex_lock (&witness->lock);
  return witness->alive > came;
}

bool
nbd_witness_confirms (NbdWitness *witness, gint64 came)
{
  if (!witness)
    return true;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&witness->lock);
  return confirms (witness, came);
}

int
nbd_witness_wait (NbdWitness *witness, gint64 came, const NbdBudget *budget)
{
  if (!witness)
    return 0;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&witness->lock);
  while (!confirms (witness, came)) {
    const gint64 now = g_get_monotonic_time ();
    if (nbd_life_is_stopped (witness->life))
      return ESHUTDOWN;
    if (nbd_life_is_over (witness->life))
      return EIO;
    if (now >= budget->deadline)
      return ETIMEDOUT;
    /* Until the look ends, or the next may begin. */
    g_cond_wait_until (&witness->told, &witness->lock,
                       witness->looking || witness->next <= now
                       ? now + (witness->looking ? TICK_US : 1)
                       : witness->next);
  }
  return 0;
}
