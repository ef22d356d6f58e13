/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Many are in at a time, but none beside one that is alone; and one who waits to
 * be alone gets in though others come all the time.
 */
#include <config.h>

#include <glib.h>

#include "nbd/turnstile.h"

static NbdTurnstile turnstile;
static gint inside, alone, met, ended;
static GMutex lock;
static GCond changed;

static void *
come_and_go (void *unused)
{
  (void) unused;
  while (!g_atomic_int_get (&ended)) {
    nbd_turnstile_enter (&turnstile);
    g_atomic_int_inc (&inside);
    if (g_atomic_int_get (&alone))
      g_atomic_int_inc (&met);
    g_thread_yield ();
    g_atomic_int_add (&inside, -1);
    nbd_turnstile_leave (&turnstile);
  }
  return NULL;
}

/* Without the turn in front, this would wait until they happen to be out all at
 * once.
 */
static void
test_alone (void)
{
  GThread *threads[8];

  nbd_turnstile_init (&turnstile);
  g_atomic_int_set (&ended, 0);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("comes", come_and_go, NULL);
  for (guint i = 0; i < 2000; i++) {
    nbd_turnstile_clear_out (&turnstile);
    g_assert_cmpint (g_atomic_int_get (&inside), ==, 0);
    g_atomic_int_set (&alone, 1);
    g_thread_yield ();
    g_assert_cmpint (g_atomic_int_get (&inside), ==, 0);
    g_atomic_int_set (&alone, 0);
    nbd_turnstile_open (&turnstile);
  }
  g_atomic_int_set (&ended, 1);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_assert_cmpint (g_atomic_int_get (&met), ==, 0);
  nbd_turnstile_clear (&turnstile);
}

static void *
enter_until_two (void *unused)
{
  (void) unused;
  nbd_turnstile_enter (&turnstile);
  g_mutex_lock (&lock);
  inside++;
  g_cond_broadcast (&changed);
  while (inside < 2)
    g_cond_wait (&changed, &lock);
  g_mutex_unlock (&lock);
  nbd_turnstile_leave (&turnstile);
  return NULL;
}

static void
test_together (void)
{
  nbd_turnstile_init (&turnstile);
  inside = 0;
  GThread *first = g_thread_new ("first", enter_until_two, NULL);
  GThread *second = g_thread_new ("second", enter_until_two, NULL);
  g_thread_join (first);
  g_thread_join (second);
  nbd_turnstile_clear (&turnstile);
}

/* A server of others' has none. */
static void
test_none (void)
{
  nbd_turnstile_enter (NULL);
  nbd_turnstile_leave (NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/turnstile/alone", test_alone);
  g_test_add_func ("/turnstile/together", test_together);
  g_test_add_func ("/turnstile/none", test_none);
  return g_test_run ();
}
