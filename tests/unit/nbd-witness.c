/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What a look proves, when looks are made, and what ends a wait for one.
 * unit-nbd-witness-death has many who wait at once.
 */
#include <config.h>

#include <errno.h>
#include <glib.h>

/* What it takes for the time; 0: the true one.  Only where one thread runs. */
static gint64 frozen;

static gint64
test_clock (void)
{
  return frozen ? frozen : g_get_monotonic_time ();
}

#define g_get_monotonic_time test_clock
#include "nbd/witness.c"
#undef g_get_monotonic_time

/* Far more than it takes, also under a sanitizer on a busy machine. */
#define LONG_MS 20000
#define SECOND G_TIME_SPAN_SECOND

static guint looks;

static void
count_look (void *opaque)
{
  (void) opaque;
  looks++;
}

static void
test_proof (void)
{
  NbdLife *life = nbd_life_new (NULL, 0);
  NbdWitness *witness = nbd_witness_new (life, count_look, NULL);

  looks = 0;
  /* A look in the same microsecond may have begun before. */
  frozen = 10 * SECOND;
  g_assert_false (nbd_witness_confirms (witness, frozen));
  g_assert_cmpuint (looks, ==, 0);
  frozen += 2;
  g_assert_false (nbd_witness_confirms (witness, frozen - 1));
  g_assert_cmpuint (looks, ==, 1);
  /* Never two at once, however long it takes. */
  frozen += 4;
  g_assert_false (nbd_witness_confirms (witness, frozen - 1));
  frozen += 10 * SECOND;
  g_assert_false (nbd_witness_confirms (witness, 0));
  g_assert_false (nbd_witness_confirms (witness, frozen - 1));
  g_assert_cmpuint (looks, ==, 1);
  const gint64 began = 10 * SECOND + 2;
  nbd_witness_told (witness, NBD_WITNESS_ALIVE);
  for (gint64 came = began - 3; came < began + 10; came++)
    g_assert_cmpint (nbd_witness_confirms (witness, came), ==, came < began);
  g_assert_false (nbd_witness_confirms (witness, frozen - 1));

  /* It paused no longer than that after a look of so long. */
  frozen += PAUSE_MOST_US - 1;
  g_assert_false (nbd_witness_confirms (witness, began));
  g_assert_cmpuint (looks, ==, 1);
  frozen++;
  g_assert_false (nbd_witness_confirms (witness, began));
  g_assert_cmpuint (looks, ==, 2);
  /* A short look is followed by a short pause. */
  frozen += 100;
  nbd_witness_told (witness, NBD_WITNESS_ALIVE);
  g_assert_true (nbd_witness_confirms (witness, began));
  frozen += PAUSE_FACTOR * 100 - 1;
  g_assert_false (nbd_witness_confirms (witness, frozen - 1));
  g_assert_cmpuint (looks, ==, 2);
  frozen++;
  const gint64 proven = frozen - PAUSE_FACTOR * 100 - 101;
  g_assert_true (nbd_witness_confirms (witness, proven));
  g_assert_cmpuint (looks, ==, 2);

  /* What is not known proves nothing, and is asked again after a pause. */
  const gint64 came = frozen - 1;
  g_assert_false (nbd_witness_confirms (witness, came));
  g_assert_cmpuint (looks, ==, 3);
  for (guint i = 3; i < 8; i++) {
    frozen += 10;
    nbd_witness_told (witness, NBD_WITNESS_UNKNOWN);
    g_assert_false (nbd_witness_confirms (witness, came));
    g_assert_true (nbd_witness_confirms (witness, proven));
    frozen += PAUSE_FAILED_US - 1;
    g_assert_false (nbd_witness_confirms (witness, came));
    g_assert_cmpuint (looks, ==, i);
    frozen++;
    g_assert_false (nbd_witness_confirms (witness, came));
    g_assert_cmpuint (looks, ==, i + 1);
    g_assert_false (nbd_life_is_over (life));
  }
  nbd_witness_told (witness, NBD_WITNESS_DEAD);
  g_assert_true (nbd_life_is_over (life));
  g_assert_false (nbd_witness_confirms (witness, came));
  g_assert_true (nbd_witness_confirms (witness, proven));
  frozen = 0;
  nbd_witness_free (witness);
  nbd_life_free (life);
}

/* A look may be answered at once, by the thread that makes it. */
static void
look_at_once (void *opaque)
{
  NbdWitness **witness = opaque;

  looks++;
  nbd_witness_told (*witness, looks < 3 ? NBD_WITNESS_UNKNOWN
                    : NBD_WITNESS_ALIVE);
}

static void
test_at_once (void)
{
  NbdLife *life = nbd_life_new (NULL, LONG_MS);
  NbdWitness *witness = nbd_witness_new (life, look_at_once, &witness);
  const NbdBudget budget = nbd_life_budget (life);

  looks = 0;
  g_assert_cmpint (nbd_witness_wait (witness, g_get_monotonic_time (),
                                     &budget), ==, 0);
  g_assert_cmpuint (looks, ==, 3);
  nbd_witness_free (witness);
  nbd_life_free (life);

  g_assert_true (nbd_witness_confirms (NULL, G_MAXINT64));
  g_assert_cmpint (nbd_witness_wait (NULL, G_MAXINT64, &budget), ==, 0);
  nbd_witness_free (NULL);
}

/* Several who wait for a look of which nothing is heard, until what happens. */
typedef struct {
  NbdWitness *witness;
  gint64 came;
  NbdBudget budget;
} Waiter;

static void *
wait_for_it (void *opaque)
{
  Waiter *waiter = opaque;

  return GINT_TO_POINTER (nbd_witness_wait (waiter->witness, waiter->came,
                                            &waiter->budget));
}

static void
test_waits (void)
{
  enum { DEADLINE, STOP, LOST, DEAD, ALIVE, ENDS };
  static const int want[ENDS] = { ETIMEDOUT, ESHUTDOWN, EIO, EIO, 0 };

  for (guint end = 0; end < ENDS; end++) {
    gint stop = 0;
    NbdLife *life = nbd_life_new (&stop, end == DEADLINE ? 300 : LONG_MS);
    Waiter waiter = { nbd_witness_new (life, count_look, NULL),
                      g_get_monotonic_time (), nbd_life_budget (life) };
    GThread *threads[4];

    looks = 0;
    for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
      threads[i] = g_thread_new ("waits", wait_for_it, &waiter);
    g_usleep (150000);
    if (end == STOP)
      g_atomic_int_set (&stop, 1);
    else if (end == LOST)
      nbd_life_end (life);
    else if (end == DEAD || end == ALIVE)
      nbd_witness_told (waiter.witness, end == DEAD ? NBD_WITNESS_DEAD
                        : NBD_WITNESS_ALIVE);
    for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
      g_assert_cmpint (GPOINTER_TO_INT (g_thread_join (threads[i])), ==,
                       want[end]);
    if (end == DEADLINE)
      g_assert_cmpint (g_get_monotonic_time (), >=, waiter.budget.deadline);
    else
      g_assert_cmpint (g_get_monotonic_time (), <, waiter.budget.deadline);
    g_assert_cmpuint (looks, ==, 1);
    nbd_witness_free (waiter.witness);
    nbd_life_free (life);
  }
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nbd-witness/proof", test_proof);
  g_test_add_func ("/nbd-witness/at-once", test_at_once);
  g_test_add_func ("/nbd-witness/waits", test_waits);
  return g_test_run ();
}
