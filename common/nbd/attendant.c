/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The thread calls all that were added every TICK_US while something is on its
 * way, and sleeps otherwise, so that an idle client costs nothing.
 */
#include <config.h>

#include <stdatomic.h>

#include "nbd/attendant.h"

#define TICK_US 50000

typedef struct {
  Attend attend;
  void *opaque;
} Ward;

struct Attendant {
  GMutex lock;                  /* guards what follows; held while attending */
  GCond woken;
  GThread *thread;
  GArray *wards;                /* of Ward */
  bool ended;
  atomic_bool asleep;           /* or about to be: has to be woken */
};

static void *
run (void *opaque)
{
  Attendant *attendant = opaque;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&attendant->lock);

  while (!attendant->ended) {
    bool more = false;
    /* Before we look: what comes after will wake us. */
    atomic_store (&attendant->asleep, true);
    for (guint i = 0; i < attendant->wards->len; i++) {
      const Ward *ward = &g_array_index (attendant->wards, Ward, i);
      more |= ward->attend (ward->opaque);
    }
    if (more) {
      atomic_store (&attendant->asleep, false);
      g_cond_wait_until (&attendant->woken, &attendant->lock,
                         g_get_monotonic_time () + TICK_US);
    }
    else
      g_cond_wait (&attendant->woken, &attendant->lock);
  }
  return NULL;
}

Attendant *
attendant_new (void)
{
  Attendant *attendant = g_new0 (Attendant, 1);

  g_mutex_init (&attendant->lock);
  g_cond_init (&attendant->woken);
  attendant->wards = g_array_new (FALSE, FALSE, sizeof (Ward));
  attendant->asleep = true;
  return attendant;
}

void
attendant_free (Attendant *attendant)
{
  if (!attendant)
    return;
  g_mutex_lock (&attendant->lock);
  attendant->ended = true;
  g_cond_signal (&attendant->woken);
  g_mutex_unlock (&attendant->lock);
  if (attendant->thread)
    g_thread_join (attendant->thread);
  g_array_unref (attendant->wards);
  g_cond_clear (&attendant->woken);
  g_mutex_clear (&attendant->lock);
  g_free (attendant);
}

void
attendant_add (Attendant *attendant, Attend attend, void *opaque)
{
  const Ward ward = { attend, opaque };
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&attendant->lock);

  g_array_append_val (attendant->wards, ward);
}

void
attendant_remove (Attendant *attendant, void *opaque)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&attendant->lock);

  for (guint i = 0; i < attendant->wards->len; i++)
    if (g_array_index (attendant->wards, Ward, i).opaque == opaque) {
      g_array_remove_index_fast (attendant->wards, i);
      return;
    }
}

void
attendant_wake (Attendant *attendant)
{
  if (!atomic_load (&attendant->asleep))
    return;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&attendant->lock);
  /* Where there are no threads left, the next to come here tries again. */
  if (!attendant->thread)
    attendant->thread = g_thread_try_new ("attendant", run, attendant, NULL);
  g_cond_signal (&attendant->woken);
}
