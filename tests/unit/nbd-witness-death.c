/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Several clients, and a job that dies: nothing is released by a look that did not
 * begin after it had come, and nothing that came after the death.  Chance is the
 * framework's: --seed=... as printed repeats it as far as threads do.
 */
#include <config.h>

#include <errno.h>
#include <glib.h>

/* To see which look proved it. */
#include "nbd/witness.c"

/* Far more than it takes, also under a sanitizer on a busy machine. */
#define LONG_MS 20000

/* A hypervisor, which sees what there is when a look begins, or some time later,
 * and whose answers take a while.
 */
typedef struct {
  NbdLife *life;
  NbdWitness *witness;
  GAsyncQueue *asked;
  guint32 seed;
  gint under_way;               /* atomic, as are these: */
  gint dead;
  gint64 died;                  /* when, set after dead is; 0: not yet */
  gint64 saw_alive;             /* when the last look was asked for that did */
} Host;

#define LOOK GINT_TO_POINTER (1)
#define END GINT_TO_POINTER (2)

static void
ask_host (void *opaque)
{
  Host *host = opaque;

  g_assert_cmpint (g_atomic_int_add (&host->under_way, 1), ==, 0);
  g_async_queue_push (host->asked, LOOK);
}

static void *
run_host (void *opaque)
{
  Host *host = opaque;
  GRand *rand = g_rand_new_with_seed (host->seed);

  while (g_async_queue_pop (host->asked) == LOOK) {
    /* As early as it may be seen, or late. */
    const bool late = g_rand_boolean (rand);
    const gint64 asked = g_get_monotonic_time ();
    bool dead = g_atomic_int_get (&host->dead);
    g_usleep ((gulong) g_rand_int_range (rand, 0, 1500));
    if (late)
      dead = g_atomic_int_get (&host->dead);
    const bool unknown = g_rand_int_range (rand, 0, 8) == 0;
    if (!dead && !unknown)
      __atomic_store_n (&host->saw_alive, asked, __ATOMIC_SEQ_CST);
    g_atomic_int_add (&host->under_way, -1);
    nbd_witness_told (host->witness, unknown ? NBD_WITNESS_UNKNOWN
                      : dead ? NBD_WITNESS_DEAD : NBD_WITNESS_ALIVE);
  }
  g_rand_free (rand);
  return NULL;
}

typedef struct {
  Host *host;
  guint32 seed;
  guint released;
} Reader;

static void
assert_may_be_released (Host *host, gint64 came)
{
  g_assert_cmpint (came, <, __atomic_load_n (&host->saw_alive,
                                             __ATOMIC_SEQ_CST));
  g_mutex_lock (&host->witness->lock);
  g_assert_cmpint (came, <, host->witness->alive);
  g_mutex_unlock (&host->witness->lock);
  const gint64 died = __atomic_load_n (&host->died, __ATOMIC_SEQ_CST);
  if (died)
    g_assert_cmpint (came, <=, died);
}

/* Each asks a few times, or waits, until it is over. */
static void *
run_reader (void *opaque)
{
  Reader *reader = opaque;
  Host *host = reader->host;
  GRand *rand = g_rand_new_with_seed (reader->seed);
  int failure = 0;

  while (!failure) {
    const NbdBudget budget = nbd_life_budget (host->life);
    const gint64 came = g_get_monotonic_time ();
    guint tries = (guint) g_rand_int_range (rand, 0, 4);
    bool released = false;
    while (tries-- > 0 && !released) {
      released = nbd_witness_confirms (host->witness, came);
      g_usleep ((gulong) g_rand_int_range (rand, 0, 300));
    }
    if (!released)
      failure = nbd_witness_wait (host->witness, came, &budget);
    if (failure)
      break;
    assert_may_be_released (host, came);
    reader->released++;
  }
  g_assert_cmpint (failure, ==, EIO);
  g_rand_free (rand);
  return NULL;
}

static void
test_death (void)
{
  guint released = 0;

  for (guint round = 0; round < (g_test_slow () ? 100 : 12); round++) {
    Host host = { .life = nbd_life_new (NULL, LONG_MS),
                  .asked = g_async_queue_new (),
                  .seed = (guint32) g_test_rand_int () };
    Reader readers[8];
    GThread *threads[G_N_ELEMENTS (readers)];

    host.witness = nbd_witness_new (host.life, ask_host, &host);
    GThread *thread = g_thread_new ("host", run_host, &host);
    for (guint i = 0; i < G_N_ELEMENTS (readers); i++) {
      readers[i] = (Reader) { &host, (guint32) g_test_rand_int (), 0 };
      threads[i] = g_thread_new ("reader", run_reader, &readers[i]);
    }
    g_usleep ((gulong) g_test_rand_int_range (50000, 150000));
    g_atomic_int_set (&host.dead, 1);
    __atomic_store_n (&host.died, g_get_monotonic_time (), __ATOMIC_SEQ_CST);
    for (guint i = 0; i < G_N_ELEMENTS (readers); i++) {
      g_thread_join (threads[i]);
      released += readers[i].released;
    }
    g_assert_true (nbd_life_is_over (host.life));
    g_async_queue_push (host.asked, END);
    g_thread_join (thread);
    nbd_witness_free (host.witness);
    nbd_life_free (host.life);
    g_async_queue_unref (host.asked);
  }
  g_assert_cmpuint (released, >, 100);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nbd-witness/death", test_death);
  return g_test_run ();
}
