/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What connections share: signs of a server that is gone, waits that are cut off
 * in time and never before, and what one request may cost.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nbd/life.h"

/* Far more than it takes, also under a sanitizer on a busy machine. */
#define LONG_MS 20000

static void
make_pair (int pair[2])
{
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair),
                   ==, 0);
}

static void
close_pair (int pair[2])
{
  close (pair[0]);
  close (pair[1]);
}

static gint64
in_ms (gint64 milliseconds)
{
  return g_get_monotonic_time () + milliseconds * 1000;
}

/* Does the other end see within so long that the connection is shut down? */
static bool
is_cut (const int pair[2], int milliseconds)
{
  struct pollfd pollfd = { .fd = pair[1], .events = POLLRDHUP };

  return poll (&pollfd, 1, milliseconds) == 1;
}

static guint
count_threads (void)
{
  GDir *dir = g_dir_open ("/proc/self/task", 0, NULL);
  guint n = 0;

  g_assert_nonnull (dir);
  while (g_dir_read_name (dir))
    n++;
  g_dir_close (dir);
  return n;
}

/* A thread that was joined may stay listed for a moment. */
static void
assert_threads (guint want)
{
  const gint64 end = in_ms (LONG_MS);

  while (count_threads () != want && g_get_monotonic_time () < end)
    g_usleep (1000);
  g_assert_cmpuint (count_threads (), ==, want);
}

static void
test_signs (void)
{
  NbdLife *life = nbd_life_new (NULL, 0);
  int pairs[3][2];

  g_assert_true (nbd_life_check (life));
  for (guint i = 0; i < 3; i++) {
    make_pair (pairs[i]);
    nbd_life_add_sign (life, pairs[i][0]);
  }
  /* What waits to be read is no sign. */
  g_assert_cmpint (write (pairs[1][1], "x", 1), ==, 1);
  g_assert_true (nbd_life_check (life));
  shutdown (pairs[0][1], SHUT_WR);
  g_assert_false (nbd_life_check (life));
  g_assert_false (nbd_life_check (life));
  nbd_life_remove_sign (life, pairs[0][0]);
  g_assert_true (nbd_life_check (life));
  /* Also with something before the hang-up. */
  close (pairs[1][1]);
  g_assert_false (nbd_life_check (life));
  nbd_life_remove_sign (life, pairs[1][0]);
  nbd_life_remove_sign (life, pairs[1][0]);
  nbd_life_remove_sign (life, -1);
  g_assert_true (nbd_life_check (life));
  close (pairs[2][1]);
  g_assert_false (nbd_life_check (life));
  for (guint i = 0; i < 3; i++)
    close (pairs[i][0]);
  close (pairs[0][1]);
  nbd_life_free (life);
}

/* The one who ends it is told so, among all who say it at once. */
static void *
end_life (void *opaque)
{
  return GINT_TO_POINTER (nbd_life_end (opaque));
}

static void
test_end (void)
{
  for (guint round = 0; round < 100; round++) {
    NbdLife *life = nbd_life_new (NULL, 0);
    GThread *threads[4];
    guint first = 0;

    g_assert_false (nbd_life_is_over (life));
    for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
      threads[i] = g_thread_new ("ends", end_life, life);
    for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
      first += GPOINTER_TO_INT (g_thread_join (threads[i])) ? 1 : 0;
    g_assert_cmpuint (first, ==, 1);
    g_assert_true (nbd_life_is_over (life));
    g_assert_false (nbd_life_is_stopped (life));
    nbd_life_free (life);
  }
  nbd_life_free (NULL);
}

static void
test_budget (void)
{
  gint stop = 0;
  NbdLife *life = nbd_life_new (&stop, 30);
  const gint64 now = g_get_monotonic_time ();
  NbdBudget budget = nbd_life_budget (life);

  g_assert_cmpint (budget.deadline, >=, now + 30000);
  g_assert_cmpint (budget.deadline, <=, in_ms (30));
  g_usleep (40000);
  g_assert_cmpint (nbd_budget_left (budget.deadline), ==, 0);
  g_assert_cmpint (nbd_life_spend (life, &budget), ==, ETIMEDOUT);
  nbd_life_free (life);

  life = nbd_life_new (&stop, LONG_MS);
  budget = nbd_life_budget (life);
  g_assert_cmpuint (budget.answers, >, 300000);
  g_assert_cmpint (nbd_budget_left (budget.deadline), >, 0);
  budget.answers = 3;
  for (guint i = 0; i < 3; i++)
    g_assert_cmpint (nbd_life_spend (life, &budget), ==, 0);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpint (nbd_life_spend (life, &budget), ==, ETIMEDOUT);
  g_assert_cmpuint (budget.answers, ==, 0);
  /* A lost server is told of by others, and takes nothing. */
  budget = nbd_life_budget (life);
  nbd_life_end (life);
  g_assert_cmpint (nbd_life_spend (life, &budget), ==, 0);
  g_atomic_int_set (&stop, 1);
  g_assert_cmpint (nbd_life_spend (life, &budget), ==, ESHUTDOWN);
  g_assert_true (nbd_life_is_stopped (life));
  nbd_life_free (life);

  life = nbd_life_new (NULL, 0);
  budget = nbd_life_budget (life);
  g_assert_cmpint (nbd_budget_left (budget.deadline), >,
                   NBD_PATIENCE_MS - LONG_MS);
  nbd_life_free (life);
  g_assert_cmpint (nbd_budget_left (G_MAXINT64), ==, G_MAXINT);
  g_assert_cmpint (nbd_budget_left (0), ==, 0);
}

static void
test_deadline (void)
{
  const guint threads = count_threads ();
  NbdLife *life = nbd_life_new (NULL, 0);
  int soon[2], late[2], ended[2];
  NbdWait waits[3];

  make_pair (soon);
  make_pair (late);
  make_pair (ended);
  /* There is none before it is needed: nbdkit may fork yet. */
  g_assert_cmpuint (count_threads (), ==, threads);
  const gint64 deadline = in_ms (200);
  nbd_life_begin_wait (life, &waits[0], soon[0], deadline);
  nbd_life_begin_wait (life, &waits[1], late[0], in_ms (10 * LONG_MS));
  nbd_life_begin_wait (life, &waits[2], ended[0], deadline);
  g_assert_cmpint (nbd_life_end_wait (life, &waits[2]), ==, 0);
  g_assert_true (is_cut (soon, LONG_MS));
  g_assert_cmpint (g_get_monotonic_time (), >=, deadline);
  g_assert_cmpint (read (soon[1], &(char) { 0 }, 1), ==, 0);
  g_assert_cmpint (nbd_life_end_wait (life, &waits[0]), ==, ETIMEDOUT);
  /* Others are left alone. */
  g_assert_false (is_cut (late, 300));
  g_assert_false (is_cut (ended, 0));
  g_assert_cmpint (nbd_life_end_wait (life, &waits[1]), ==, 0);

  /* One whose deadline has passed; and once more after the thread has gone to
   * sleep.
   */
  for (guint i = 0; i < 2; i++) {
    nbd_life_begin_wait (life, &waits[0], late[0], in_ms (i ? 100 : -1));
    g_assert_true (is_cut (late, LONG_MS));
    g_assert_cmpint (nbd_life_end_wait (life, &waits[0]), ==, ETIMEDOUT);
    close_pair (late);
    make_pair (late);
    g_usleep (i ? 0 : 1500000);
  }
  nbd_life_free (life);
  assert_threads (threads);
  close_pair (soon);
  close_pair (late);
  close_pair (ended);
}

/* A server that is well may still answer for a while; one begun later, too. */
static void
test_stop (void)
{
  const guint threads = count_threads ();
  gint stop = 0;
  NbdLife *life = nbd_life_new (&stop, 0);
  int first[2], second[2], third[2];
  NbdWait waits[3];

  make_pair (first);
  make_pair (second);
  make_pair (third);
  nbd_life_begin_wait (life, &waits[0], first[0], in_ms (10 * LONG_MS));
  nbd_life_begin_wait (life, &waits[1], second[0], in_ms (10 * LONG_MS));
  g_atomic_int_set (&stop, 1);
  g_assert_false (is_cut (first, NBD_STOP_GRACE_MS / 2));
  g_assert_cmpint (nbd_life_end_wait (life, &waits[1]), ==, 0);
  g_assert_true (is_cut (first, LONG_MS));
  g_assert_false (is_cut (second, 0));
  g_assert_cmpint (nbd_life_end_wait (life, &waits[0]), ==, ESHUTDOWN);
  /* Then there is no more patience. */
  nbd_life_begin_wait (life, &waits[2], third[0], in_ms (10 * LONG_MS));
  g_assert_true (is_cut (third, LONG_MS));
  g_assert_cmpint (nbd_life_end_wait (life, &waits[2]), ==, ESHUTDOWN);
  nbd_life_free (life);
  assert_threads (threads);
  close_pair (first);
  close_pair (second);
  close_pair (third);
}

/* Waits, signs and looks from several threads; some waits are cut. */
static void *
wait_often (void *opaque)
{
  NbdLife *life = opaque;
  int pair[2], sign[2];

  make_pair (sign);
  make_pair (pair);
  for (guint i = 0; i < 4000; i++) {
    const bool short_one = i % 500 == 499;
    NbdWait wait;

    nbd_life_begin_wait (life, &wait, pair[0], in_ms (short_one ? 1 : LONG_MS));
    nbd_life_add_sign (life, sign[0]);
    if (short_one)
      g_assert_true (is_cut (pair, LONG_MS));
    g_assert_true (nbd_life_check (life));
    nbd_life_remove_sign (life, sign[0]);
    g_assert_cmpint (nbd_life_end_wait (life, &wait), ==,
                     short_one ? ETIMEDOUT : 0);
    g_assert_cmpint (is_cut (pair, 0), ==, short_one);
    if (short_one) {
      close_pair (pair);
      make_pair (pair);
    }
  }
  close_pair (pair);
  close_pair (sign);
  return NULL;
}

static void
test_threads (void)
{
  const guint before = count_threads ();
  NbdLife *life = nbd_life_new (NULL, 0);
  GThread *threads[2];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("waits", wait_often, life);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  nbd_life_free (life);
  assert_threads (before);
}

typedef struct {
  guint64 held, settled, let_go; /* the last ID */
  guint holds, let_goes;
  bool refuse;
} Holding;

static bool
hold (void *opaque, guint64 id, int fd, bool encrypted)
{
  Holding *holding = opaque;

  (void) encrypted;
  g_assert_cmpint (fd, ==, 17);
  g_assert_cmpuint (id, >, holding->held);
  holding->held = id;
  holding->holds++;
  return !holding->refuse;
}

static void
settle (void *opaque, guint64 id)
{
  Holding *holding = opaque;

  holding->settled = id;
}

static void
let_go (void *opaque, guint64 id)
{
  Holding *holding = opaque;

  holding->let_go = id;
  holding->let_goes++;
}

static const NbdHolder holder = { hold, settle, let_go };

/* A descriptor's number, and a handle's address, are used again. */
static void
test_holder (void)
{
  NbdLife *life = nbd_life_new (NULL, 0);
  Holding holding = { 0 };
  const int first = 0, second = 0;

  g_assert_false (nbd_life_has_holder (life));
  g_assert_true (nbd_life_hold (life, &first, 17, false));
  nbd_life_let_go (life, &first, -1);
  nbd_life_set_holder (life, &holder, &holding);
  g_assert_true (nbd_life_has_holder (life));
  g_assert_true (nbd_life_hold (life, &first, 17, false));
  const guint64 id = holding.held;
  g_assert_true (nbd_life_hold (life, &second, 17, false));
  nbd_life_settle (life, &first);
  g_assert_cmpuint (holding.settled, ==, id);
  g_assert_true (nbd_life_hold (life, &second, 17, false)); /* it is */
  g_assert_cmpuint (holding.holds, ==, 2);
  nbd_life_let_go (life, &first, -1);
  g_assert_cmpuint (holding.let_go, ==, id);
  nbd_life_let_go (life, &first, -1); /* once only */
  g_assert_cmpuint (holding.let_goes, ==, 1);
  holding.refuse = true;
  g_assert_false (nbd_life_hold (life, &first, 17, false));
  g_assert_cmpuint (holding.holds, ==, 3);
  nbd_life_let_go (life, &second, -1);
  g_assert_cmpuint (holding.let_go, ==, id + 1);
  nbd_life_free (life);
}

static gpointer
settle_later (gpointer data)
{
  gpointer *both = data;

  g_usleep (50000);
  nbd_life_settle (both[0], both[1]);
  return NULL;
}

/* Nobody negotiates when the job is ended. */
static void
test_negotiating (void)
{
  NbdLife *life = nbd_life_new (NULL, 0);
  Holding holding = { 0 };
  int first = 0, second = 0;

  g_assert_true (nbd_life_negotiate (life, &first)); /* who cares? */
  nbd_life_set_holder (life, &holder, &holding);
  g_assert_true (nbd_life_negotiate (life, &first));
  g_assert_true (nbd_life_negotiate (life, &second));
  nbd_life_let_go (life, &second, -1);
  gpointer both[] = { life, &first };
  GThread *thread = g_thread_new ("settle", settle_later, both);
  gint64 began = g_get_monotonic_time ();
  g_assert_true (nbd_life_end_calmly (life, LONG_MS));
  g_assert_cmpint (g_get_monotonic_time () - began, >=, 40000);
  g_assert_cmpint (g_get_monotonic_time () - began, <, LONG_MS * 1000);
  g_thread_join (thread);
  g_assert_true (nbd_life_is_over (life));
  g_assert_false (nbd_life_negotiate (life, &first));
  g_assert_true (nbd_life_end_calmly (life, LONG_MS)); /* at once */
  nbd_life_free (life);

  /* Nor is one waited for that never ends. */
  life = nbd_life_new (NULL, 0);
  nbd_life_set_holder (life, &holder, &holding);
  g_assert_true (nbd_life_negotiate (life, &first));
  began = g_get_monotonic_time ();
  g_assert_false (nbd_life_end_calmly (life, 100));
  g_assert_cmpint (g_get_monotonic_time () - began, >=, 90000);
  nbd_life_free (life);
}

#define SEES_AFTER_US 300000

/* A server that sends what it had to say, and sees our end a while later. */
static gpointer
see_end (gpointer data)
{
  const int fd = GPOINTER_TO_INT (data);
  char byte;

  (void) !send (fd, "NBDMAGIC", 8, MSG_NOSIGNAL);
  g_usleep (SEES_AFTER_US);
  g_assert_cmpint (recv (fd, &byte, 1, 0), ==, 0);
  close (fd);
  return NULL;
}

/* One that is not held is gone for the server, too, before nobody negotiates;
 * one that is held stays as it is.
 */
static void
test_seen_off (void)
{
  Holding holding = { 0 };
  NbdLife *life = nbd_life_new (NULL, 0);
  int first = 0, second = 0, pair[2];

  make_pair (pair);
  nbd_life_see_off (life, &first, pair[0]); /* nobody cares */
  g_assert_false (is_cut (pair, 0));
  nbd_life_set_holder (life, &holder, &holding);
  g_assert_true (nbd_life_negotiate (life, &first));
  g_assert_true (nbd_life_negotiate (life, &second));
  g_assert_true (nbd_life_hold (life, &second, 17, false));
  nbd_life_see_off (life, &second, pair[0]);
  g_assert_false (is_cut (pair, 0));
  const gint64 began = g_get_monotonic_time ();
  GThread *server
    = g_thread_new ("server", see_end, GINT_TO_POINTER (pair[1]));
  nbd_life_let_go (life, &first, pair[0]);
  g_assert_cmpint (g_get_monotonic_time () - began, >=, SEES_AFTER_US);
  nbd_life_let_go (life, &second, -1);
  g_assert_true (nbd_life_end_calmly (life, 0));
  g_thread_join (server);
  close (pair[0]);

  /* But not for ever. */
  make_pair (pair);
  nbd_life_let_go (life, &first, pair[0]);
  close_pair (pair);
  nbd_life_free (life);
}

/* The job's end is what ends waits on connections that are held. */
static void
test_stop_held (void)
{
  Holding holding = { 0 };
  gint stop = 1;
  NbdLife *life = nbd_life_new (&stop, 0);
  int pair[2];
  NbdWait wait;

  make_pair (pair);
  nbd_life_set_holder (life, &holder, &holding);
  nbd_life_begin_wait (life, &wait, pair[0], in_ms (LONG_MS));
  g_assert_false (is_cut (pair, NBD_STOP_GRACE_MS + 1000));
  g_assert_cmpint (nbd_life_end_wait (life, &wait), ==, 0);
  nbd_life_begin_wait (life, &wait, pair[0], in_ms (0));
  g_assert_false (is_cut (pair, 1000));
  g_assert_cmpint (nbd_life_end_wait (life, &wait), ==, ESHUTDOWN);
  nbd_life_free (life);
  close_pair (pair);
}

/* All of a source's clients share it, and get it back. */
static void
test_memory (void)
{
  NbdLife *life = nbd_life_new (NULL, 0);

  g_assert_true (nbd_life_take_memory (life, NBD_AHEAD_BYTES - 9, 9));
  g_assert_false (nbd_life_take_memory (life, 1, 9));
  g_assert_true (nbd_life_take_memory (life, 8, 1));
  g_assert_false (nbd_life_take_memory (life, 2, 0));
  g_assert_true (nbd_life_take_memory (life, 1, 0));
  g_assert_false (nbd_life_take_memory (life, 1, 0));
  nbd_life_return_memory (life, NBD_AHEAD_BYTES);
  g_assert_true (nbd_life_take_memory (life, NBD_AHEAD_BYTES, 0));
  nbd_life_return_memory (life, NBD_AHEAD_BYTES);
  nbd_life_free (life);
}

static void
count_up (void *opaque)
{
  guint *count = opaque;

  ++*count;
}

/* What waits for nbdkit to fork begins once, then, unless it is forgotten. */
static void
test_serving (void)
{
  NbdLife *life = nbd_life_new (NULL, 0);
  guint early = 0, forgotten = 0, late = 0;

  nbd_life_when_serving (life, count_up, &early);
  nbd_life_when_serving (life, count_up, &forgotten);
  nbd_life_forget (life, &forgotten);
  g_assert_false (nbd_life_is_serving (life));
  g_assert_cmpuint (early, ==, 0);
  nbd_life_serve (life);
  g_assert_true (nbd_life_is_serving (life));
  nbd_life_when_serving (life, count_up, &late);
  nbd_life_forget (life, &late);
  g_assert_cmpuint (early, ==, 1);
  g_assert_cmpuint (forgotten, ==, 0);
  g_assert_cmpuint (late, ==, 1);
  nbd_life_free (life);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nbd-life/signs", test_signs);
  g_test_add_func ("/nbd-life/end", test_end);
  g_test_add_func ("/nbd-life/budget", test_budget);
  g_test_add_func ("/nbd-life/deadline", test_deadline);
  g_test_add_func ("/nbd-life/stop", test_stop);
  g_test_add_func ("/nbd-life/threads", test_threads);
  g_test_add_func ("/nbd-life/holder", test_holder);
  g_test_add_func ("/nbd-life/stop-held", test_stop_held);
  g_test_add_func ("/nbd-life/negotiating", test_negotiating);
  g_test_add_func ("/nbd-life/seen-off", test_seen_off);
  g_test_add_func ("/nbd-life/memory", test_memory);
  g_test_add_func ("/nbd-life/serving", test_serving);
  return g_test_run ();
}
