/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Nothing is released by a look that began before it had come, and nothing once
 * the job is dead.
 */
#include <config.h>

#include <errno.h>

#include "nbd-witness.h"

/* A hypervisor: looks are answered by a thread of its own, some time later. */
typedef struct {
  NbdWitness *witness;
  GAsyncQueue *asked;
  GThread *thread;
  gint looks;                   /* atomic: under way; never two */
  gint64 died;                  /* atomic, as a pointer's size: when; 0: not */
  gint unknown;                 /* atomic: so many looks fail */
} Host;

#define END GINT_TO_POINTER (2)

static void
look (void *opaque)
{
  Host *host = opaque;

  g_assert_cmpint (g_atomic_int_add (&host->looks, 1), ==, 0);
  g_async_queue_push (host->asked, GINT_TO_POINTER (1));
}

static gint64
died (Host *host)
{
  return __atomic_load_n (&host->died, __ATOMIC_SEQ_CST);
}

static void *
answer (void *opaque)
{
  Host *host = opaque;
  GRand *rand = g_rand_new_with_seed (7);

  while (g_async_queue_pop (host->asked) != END) {
    g_usleep ((gulong) g_rand_int_range (rand, 0, 1000));
    const bool dead = died (host) != 0;
    const bool unknown = g_atomic_int_get (&host->unknown) > 0;
    if (unknown)
      g_atomic_int_add (&host->unknown, -1);
    g_usleep ((gulong) g_rand_int_range (rand, 0, 1000));
    g_atomic_int_add (&host->looks, -1);
    nbd_witness_told (host->witness, dead ? NBD_WITNESS_DEAD
                      : unknown ? NBD_WITNESS_UNKNOWN : NBD_WITNESS_ALIVE);
  }
  g_rand_free (rand);
  return NULL;
}

static void
begin (Host *host, NbdLife *life)
{
  *host = (Host) { .asked = g_async_queue_new () };
  host->witness = nbd_witness_new (life, look, host);
  host->thread = g_thread_new ("host", answer, host);
}

static void
end (Host *host)
{
  g_async_queue_push (host->asked, END);
  g_thread_join (host->thread);
  nbd_witness_free (host->witness);
  g_async_queue_unref (host->asked);
}

typedef struct {
  Host *host;
  NbdLife *life;
  guint released, refused;
} Reader;

/* Reads come at any time; one that is released must have come before the job's
 * death.
 */
static void *
read_on (void *opaque)
{
  Reader *reader = opaque;

  for (;;) {
    NbdBudget budget = nbd_life_budget (reader->life);
    const gint64 came = g_get_monotonic_time ();
    const bool fresh = died (reader->host) == 0;
    const int failure
      = nbd_witness_wait (reader->host->witness, came, &budget);
    if (failure) {
      g_assert_cmpint (failure, ==, EIO);
      reader->refused++;
      return NULL;
    }
    g_assert_true (fresh || came < died (reader->host));
    reader->released++;
  }
}

static void
test_death (void)
{
  for (guint round = 0; round < 20; round++) {
    NbdLife *life = nbd_life_new (NULL, 0);
    Reader readers[8];
    GThread *threads[8];
    Host host;

    begin (&host, life);
    for (guint i = 0; i < G_N_ELEMENTS (threads); i++) {
      readers[i] = (Reader) { &host, life, 0, 0 };
      threads[i] = g_thread_new ("reader", read_on, &readers[i]);
    }
    g_usleep ((gulong) g_test_rand_int_range (20000, 60000));
    __atomic_store_n (&host.died, g_get_monotonic_time (), __ATOMIC_SEQ_CST);
    guint released = 0;
    for (guint i = 0; i < G_N_ELEMENTS (threads); i++) {
      g_thread_join (threads[i]);
      released += readers[i].released;
      g_assert_cmpuint (readers[i].refused, ==, 1);
    }
    g_assert_cmpuint (released, >, 0);
    g_assert_true (nbd_life_is_over (life));
    end (&host);
    nbd_life_free (life);
  }
}

static void
test_bounds (void)
{
  gint stop = 0;
  NbdLife *life = nbd_life_new (&stop, 200);
  NbdBudget budget = nbd_life_budget (life);
  Host host;

  g_assert_true (nbd_witness_confirms (NULL, G_MAXINT64));
  g_assert_cmpint (nbd_witness_wait (NULL, G_MAXINT64, &budget), ==, 0);

  begin (&host, life);
  /* Looks that fail are made again. */
  g_atomic_int_set (&host.unknown, 2);
  budget.deadline += 20 * G_TIME_SPAN_SECOND;
  gint64 came = g_get_monotonic_time ();
  g_assert_false (nbd_witness_confirms (host.witness, came));
  g_assert_cmpint (nbd_witness_wait (host.witness, came, &budget), ==, 0);
  g_assert_true (nbd_witness_confirms (host.witness, came));
  /* A proof is of what came before, not of all that is to come. */
  g_assert_false (nbd_witness_confirms (host.witness,
                                        g_get_monotonic_time ()));
  g_atomic_int_set (&host.unknown, G_MAXINT);
  came = g_get_monotonic_time ();
  budget = nbd_life_budget (life);
  g_assert_cmpint (nbd_witness_wait (host.witness, came, &budget), ==,
                   ETIMEDOUT);
  budget.deadline += 20 * G_TIME_SPAN_SECOND;
  g_atomic_int_set (&stop, 1);
  g_assert_cmpint (nbd_witness_wait (host.witness, came, &budget), ==,
                   ESHUTDOWN);
  end (&host);
  nbd_life_free (life);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nbd-witness/death", test_death);
  g_test_add_func ("/nbd-witness/bounds", test_bounds);
  return g_test_run ();
}
