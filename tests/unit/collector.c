/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/nbd/collector.c.
 */
#include <stdatomic.h>

#include "nbd/collector.h"

/* Far more than it takes, also under a sanitizer on a busy machine. */
#define PATIENCE_US (20 * G_TIME_SPAN_SECOND)
/* Several times what it takes if something is wrong. */
#define QUIET_US (300 * G_TIME_SPAN_MILLISECOND)

typedef struct {
  Collector *collector;
  atomic_int left;              /* so often, more is on its way */
  atomic_int looked;            /* calls that have read left */
  atomic_int seen;              /* calls that are over */
  atomic_bool inside;
  gulong slow_us;
} Stream;

static bool
collect (void *opaque)
{
  Stream *stream = opaque;

  atomic_store (&stream->inside, true);
  const bool more = atomic_load (&stream->left) > 0;
  if (more)
    atomic_fetch_sub (&stream->left, 1);
  atomic_fetch_add (&stream->looked, 1);
  g_usleep (stream->slow_us);
  atomic_fetch_add (&stream->seen, 1);
  atomic_store (&stream->inside, false);
  return more;
}

static void
await_count (atomic_int *count, int wanted)
{
  const gint64 deadline = g_get_monotonic_time () + PATIENCE_US;

  while (atomic_load (count) < wanted) {
    g_assert_cmpint (g_get_monotonic_time (), <, deadline);
    g_usleep (1000);
  }
}

static void
await (Stream *stream, int seen)
{
  await_count (&stream->seen, seen);
}

static void
send (Stream *stream, int times)
{
  atomic_store (&stream->left, times);
  collector_wake (stream->collector);
}

/* Until nothing is on its way, then not any more, then again. */
static void
test_wakes (void)
{
  Stream stream = { .collector = collector_new () };

  collector_add (stream.collector, collect, &stream);
  g_usleep (QUIET_US);
  g_assert_cmpint (atomic_load (&stream.seen), ==, 0);
  for (int seen = 4; seen <= 12; seen += 4) {
    send (&stream, 3);
    await (&stream, seen);
    g_usleep (QUIET_US);
    g_assert_cmpint (atomic_load (&stream.seen), ==, seen);
  }
  collector_remove (stream.collector, &stream);
  send (&stream, 3);
  g_usleep (QUIET_US);
  g_assert_cmpint (atomic_load (&stream.seen), ==, 12);
  collector_free (stream.collector);
}

/* One that has nothing to receive does not hide another that has. */
static void
test_several (void)
{
  Collector *collector = collector_new ();
  Stream streams[3] = { { .collector = collector },
                        { .collector = collector },
                        { .collector = collector } };

  for (guint i = 0; i < 3; i++)
    collector_add (collector, collect, &streams[i]);
  send (&streams[1], 5);
  await (&streams[1], 6);
  collector_remove (collector, &streams[0]);
  send (&streams[2], 5);
  await (&streams[2], 6 + 6);
  await (&streams[1], 12);
  collector_free (collector);
}

/* What is removed may be freed: nobody is in it, or comes again. */
static void
test_removes (void)
{
  for (guint i = 0; i < 200; i++) {
    Stream *stream = g_new0 (Stream, 1);
    Collector *collector = stream->collector = collector_new ();
    stream->slow_us = 500;
    collector_add (collector, collect, stream);
    send (stream, 1000);
    g_usleep (g_random_int_range (0, 1000));
    collector_remove (collector, stream);
    g_assert_false (atomic_load (&stream->inside));
    g_free (stream);
    collector_free (collector);
  }
}

/* What comes when the last look has just found nothing is not overlooked. */
static void
test_last_look (void)
{
  Stream stream = { .collector = collector_new (), .slow_us = 20000 };

  collector_add (stream.collector, collect, &stream);
  for (int looked = 0; looked < 40; looked += 4) {
    send (&stream, 1);
    await_count (&stream.looked, looked + 2);
    send (&stream, 1);
    await (&stream, looked + 4);
  }
  collector_free (stream.collector);
}

/* No waking is lost, however many there are. */
static void
test_misses_nothing (void)
{
  Stream stream = { .collector = collector_new () };

  collector_add (stream.collector, collect, &stream);
  for (guint i = 0; i < 3000; i++) {
    const int seen = atomic_load (&stream.seen);
    collector_wake (stream.collector);
    if (i % 2)
      await (&stream, seen + 1);
  }
  collector_free (stream.collector);
  collector_free (NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/collector/wakes", test_wakes);
  g_test_add_func ("/collector/several", test_several);
  g_test_add_func ("/collector/removes", test_removes);
  g_test_add_func ("/collector/last-look", test_last_look);
  g_test_add_func ("/collector/misses-nothing", test_misses_nothing);
  return g_test_run ();
}
