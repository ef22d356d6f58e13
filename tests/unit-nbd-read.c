/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Pieces of answers in any order, against a byte for each byte: whole is what
 * covers each once.  --seed=... as printed repeats a failure.
 */
#include <config.h>

#include <string.h>

#include "../common/nbd-read.c"

#define MOST 4096

static NbdRead
new_read (guint64 offset, guint32 length)
{
  return (NbdRead) { .offset = offset, .length = length,
                     .covered_to = offset, .fd = -1 };
}

static void
give (NbdRead *read, guint64 begin, guint64 end)
{
  int error = 0;

  piece_came (read, NULL, end - begin, begin,
              g_test_rand_bit () ? LIBNBD_READ_DATA : LIBNBD_READ_HOLE,
              &error);
}

/* Cut the request into pieces, and shuffle them. */
static guint
make_pieces (guint length, guint pieces[][2])
{
  guint n = 0;

  for (guint at = 0; at < length; n++) {
    pieces[n][0] = at;
    at += (guint) g_test_rand_int_range (1, g_test_rand_bit () ? 8 : 600);
    pieces[n][1] = at = MIN (at, length);
  }
  for (guint i = n; g_test_rand_bit () && i > 1; i--) {
    guint swap[2];
    guint j = (guint) g_test_rand_int_range (0, (int) i);
    memcpy (swap, pieces[i - 1], sizeof swap);
    memcpy (pieces[i - 1], pieces[j], sizeof swap);
    memcpy (pieces[j], swap, sizeof swap);
  }
  return n;
}

static void
test_random (void)
{
  static guint pieces[MOST + 8][2];

  for (guint round = 0; round < (g_test_slow () ? 100000 : 5000); round++) {
    const guint length = (guint) g_test_rand_int_range (1, MOST);
    const guint64 offset = (guint64) g_test_rand_int () << 20;
    guint8 times[MOST] = { 0 };
    NbdRead read = new_read (offset, length);
    guint n = make_pieces (length, pieces);
    bool once = true;

    /* A fault: one is missing, or another comes for some of the bytes. */
    if (g_test_rand_bit ()) {
      const guint i = (guint) g_test_rand_int_range (0, (int) n);
      pieces[i][0] = (guint) g_test_rand_int_range (0, (int) length);
      pieces[i][1]
        = (guint) g_test_rand_int_range ((int) pieces[i][0] + 1,
                                         (int) length + 1);
    }
    for (guint i = 0; i < n; i++) {
      give (&read, offset + pieces[i][0], offset + pieces[i][1]);
      for (guint at = pieces[i][0]; at < pieces[i][1]; at++)
        times[at] = (guint8) MIN (times[at] + 1, 2);
    }
    for (guint at = 0; at < length; at++)
      once = once && times[at] == 1;
    if (read.pieces <= length / SECTOR + MORE_PIECES)
      g_assert_cmpint (nbd_read_is_whole (&read), ==, once);
    else
      g_assert_false (nbd_read_is_whole (&read));
    nbd_read_clear (&read);
  }
}

/* The same half twice adds up to as many bytes. */
static void
test_odd (void)
{
  NbdRead read = new_read (1 << 20, 1024);
  int error = 0;

  give (&read, 1 << 20, (1 << 20) + 512);
  g_assert_false (nbd_read_is_whole (&read));
  give (&read, 1 << 20, (1 << 20) + 512);
  g_assert_false (nbd_read_is_whole (&read));
  give (&read, (1 << 20) + 512, (1 << 20) + 1024);
  g_assert_false (nbd_read_is_whole (&read));
  g_assert_nonnull (read.wrong);

  /* A piece of no bytes says nothing, and an error ends it. */
  read = new_read (0, 512);
  give (&read, 0, 0);
  give (&read, 0, 512);
  g_assert_true (nbd_read_is_whole (&read));
  error = 5;
  g_assert_cmpint (piece_came (&read, NULL, 512, 0, LIBNBD_READ_DATA, &error),
                   ==, -1);

  read = new_read (0, 512);
  piece_came (&read, NULL, 512, 0, 77, &(int) { 0 });
  g_assert_false (nbd_read_is_whole (&read));
  /* An answer without end. */
  read = new_read (0, 512);
  for (guint i = 0; i < 5000; i++)
    give (&read, 0, 0);
  give (&read, 0, 512);
  g_assert_false (nbd_read_is_whole (&read));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nbd-read/random", test_random);
  g_test_add_func ("/nbd-read/odd", test_odd);
  return g_test_run ();
}
