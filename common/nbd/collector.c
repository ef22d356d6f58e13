/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The thread calls all that were added every TICK_US while something is on its
 * way, and sleeps otherwise, so that an idle client costs nothing.
 */
#include <config.h>

#include <stdatomic.h>

#include "nbd/collector.h"

#define TICK_US 50000

typedef struct {
  Collect collect;
  void *opaque;
} Ward;

struct Collector {
  GMutex lock;                  /* guards what follows; held while collecting */
  GCond woken;
  GThread *thread;
  GArray *wards;                /* of Ward */
  bool ended;
  atomic_bool asleep;           /* or about to be: has to be woken */
};

static void *
run (void *opaque)
{
  Collector *collector = opaque;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&collector->lock);

  while (!collector->ended) {
    bool more = false;
    /* Before we look: what comes after will wake us. */
    atomic_store (&collector->asleep, true);
    for (guint i = 0; i < collector->wards->len; i++) {
      const Ward *ward = &g_array_index (collector->wards, Ward, i);
      more |= ward->collect (ward->opaque);
    }
    if (more) {
      atomic_store (&collector->asleep, false);
      g_cond_wait_until (&collector->woken, &collector->lock,
                         g_get_monotonic_time () + TICK_US);
    }
    else
      g_cond_wait (&collector->woken, &collector->lock);
  }
  return NULL;
}

Collector *
collector_new (void)
{
  Collector *collector = g_new0 (Collector, 1);

  g_mutex_init (&collector->lock);
  g_cond_init (&collector->woken);
  collector->wards = g_array_new (FALSE, FALSE, sizeof (Ward));
  collector->asleep = true;
  return collector;
}

void
collector_free (Collector *collector)
{
  if (!collector)
    return;
  g_mutex_lock (&collector->lock);
  collector->ended = true;
  g_cond_signal (&collector->woken);
  g_mutex_unlock (&collector->lock);
  if (collector->thread)
    g_thread_join (collector->thread);
  g_array_unref (collector->wards);
  g_cond_clear (&collector->woken);
  g_mutex_clear (&collector->lock);
  g_free (collector);
}

void
collector_add (Collector *collector, Collect collect, void *opaque)
{
  const Ward ward = { collect, opaque };
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&collector->lock);

  g_array_append_val (collector->wards, ward);
}

void
collector_remove (Collector *collector, void *opaque)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&collector->lock);

  for (guint i = 0; i < collector->wards->len; i++)
    if (g_array_index (collector->wards, Ward, i).opaque == opaque) {
      g_array_remove_index_fast (collector->wards, i);
      return;
    }
}

void
collector_wake (Collector *collector)
{
  if (!atomic_load (&collector->asleep))
    return;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&collector->lock);
  /* Where there are no threads left, the next to come here tries again. */
  if (!collector->thread)
    collector->thread = g_thread_try_new ("collector", run, collector, NULL);
  g_cond_signal (&collector->woken);
}
