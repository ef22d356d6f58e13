/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What connections share: signs of a server that is gone, waits that are cut off,
 * and what a request may cost.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nbd-life.h"

/* Far more than it takes, also under a sanitizer on a busy machine. */
#define PATIENCE_MS 20000

static void
test_signs (void)
{
  NbdLife *life = nbd_life_new (NULL, 0);
  int first[2], second[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM, 0, first), ==, 0);
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM, 0, second), ==, 0);
  nbd_life_add_sign (life, first[0]);
  nbd_life_add_sign (life, second[0]);
  g_assert_true (nbd_life_check (life));
  /* Something to read is no sign. */
  g_assert_cmpint (write (second[1], "x", 1), ==, 1);
  g_assert_true (nbd_life_check (life));
  close (second[1]);
  g_assert_false (nbd_life_check (life));
  nbd_life_remove_sign (life, second[0]);
  g_assert_true (nbd_life_check (life));
  close (first[1]);
  g_assert_false (nbd_life_check (life));
  close (first[0]);
  close (second[0]);

  g_assert_false (nbd_life_is_over (life));
  g_assert_true (nbd_life_end (life));
  g_assert_false (nbd_life_end (life));
  g_assert_true (nbd_life_is_over (life));
  g_assert_false (nbd_life_is_stopped (life));
  nbd_life_free (life);
}

static void
test_budget (void)
{
  gint stop = 0;
  NbdLife *life = nbd_life_new (&stop, 50);
  NbdBudget budget = nbd_life_budget (life);

  g_assert_cmpint (nbd_life_spend (life, &budget), ==, 0);
  budget.answers = 1;
  g_assert_cmpint (nbd_life_spend (life, &budget), ==, 0);
  g_assert_cmpint (nbd_life_spend (life, &budget), ==, ETIMEDOUT);
  budget = nbd_life_budget (life);
  g_usleep (60000);
  g_assert_cmpint (nbd_life_spend (life, &budget), ==, ETIMEDOUT);
  g_assert_cmpint (nbd_budget_left (budget.deadline), ==, 0);
  budget = nbd_life_budget (life);
  g_atomic_int_set (&stop, 1);
  g_assert_cmpint (nbd_life_spend (life, &budget), ==, ESHUTDOWN);
  g_assert_true (nbd_life_is_over (life));
  nbd_life_free (life);
}

/* Does the other end see that the connection is shut down? */
static bool
is_shut_down (int fd, int milliseconds)
{
  struct pollfd pollfd = { .fd = fd, .events = POLLRDHUP };

  return poll (&pollfd, 1, milliseconds) == 1;
}

static void
test_waits (void)
{
  gint stop = 0;
  NbdLife *life = nbd_life_new (&stop, 0);
  const gint64 now = g_get_monotonic_time ();
  int soon[2], late[2];
  NbdWait one, other;

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM, 0, soon), ==, 0);
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM, 0, late), ==, 0);
  nbd_life_begin_wait (life, &one, soon[0], now + 100000);
  nbd_life_begin_wait (life, &other, late[0], now + PATIENCE_MS * 10000LL);
  g_assert_true (is_shut_down (soon[1], PATIENCE_MS));
  g_assert_cmpint (nbd_life_end_wait (life, &one), ==, ETIMEDOUT);
  g_assert_false (is_shut_down (late[1], 300));
  /* One that has ended is left alone. */
  g_assert_cmpint (nbd_life_end_wait (life, &other), ==, 0);

  /* Long enough for the thread to have gone to sleep. */
  g_usleep (1500000);
  nbd_life_begin_wait (life, &other, late[0], now + PATIENCE_MS * 10000LL);
  g_atomic_int_set (&stop, 1);
  /* A server that is well has some time to answer. */
  g_assert_false (is_shut_down (late[1], NBD_STOP_GRACE_MS / 2));
  g_assert_true (is_shut_down (late[1], PATIENCE_MS));
  g_assert_cmpint (nbd_life_end_wait (life, &other), ==, ESHUTDOWN);
  for (guint i = 0; i < 2; i++) {
    close (soon[i]);
    close (late[i]);
  }
  nbd_life_free (life);
}

static void *
wait_often (void *opaque)
{
  NbdLife *life = opaque;
  int pair[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
  for (guint i = 0; i < 20000; i++) {
    NbdWait wait;
    nbd_life_begin_wait (life, &wait, pair[0],
                         g_get_monotonic_time () + PATIENCE_MS * 1000LL);
    g_assert_cmpint (nbd_life_end_wait (life, &wait), ==, 0);
  }
  close (pair[0]);
  close (pair[1]);
  return NULL;
}

static void
test_threads (void)
{
  NbdLife *life = nbd_life_new (NULL, 0);
  GThread *threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("waits", wait_often, life);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  nbd_life_free (life);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nbd-life/signs", test_signs);
  g_test_add_func ("/nbd-life/budget", test_budget);
  g_test_add_func ("/nbd-life/waits", test_waits);
  g_test_add_func ("/nbd-life/threads", test_threads);
  return g_test_run ();
}
