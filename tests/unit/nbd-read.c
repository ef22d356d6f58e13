/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Pieces of answers in any order, against a counter for each byte: whole is what
 * brings each once.  --seed=... as printed repeats a failure.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Its coverage is driven without a server. */
#include "nbd/read.c"

#define MOST 4096
#define PIECES_MOST (2 * MOST)

typedef struct {
  guint begin, end;
} Piece;

static NbdRead
new_read (guint64 offset, guint32 length)
{
  return (NbdRead) { .offset = offset, .length = length,
                     .covered_to = offset, .fd = -1 };
}

static int
give_kind (NbdRead *read, guint64 begin, guint64 end, unsigned kind)
{
  int error = 0;

  return piece_came (read, NULL, end - begin, begin, kind, &error);
}

static void
give (NbdRead *read, guint64 begin, guint64 end)
{
  g_assert_cmpint (give_kind (read, begin, end,
                              g_test_rand_bit () ? LIBNBD_READ_DATA
                              : LIBNBD_READ_HOLE), ==, 0);
}

static guint
below (guint end)
{
  return (guint) g_test_rand_int_range (0, (int) end);
}

/* Cut the request into pieces. */
static guint
tile (guint length, Piece *pieces)
{
  const guint most = g_test_rand_bit () ? 4 : 900;
  guint n = 0;

  for (guint at = 0; at < length; n++) {
    const guint step = 1 + below (most);
    pieces[n].begin = at;
    at = pieces[n].end = MIN (length, at + step);
  }
  return n;
}

/* As it is, backwards, or in any order. */
static void
reorder (Piece *pieces, guint n)
{
  const guint how = below (4);

  for (guint i = 0; how == 1 && i < n / 2; i++) {
    const Piece other = pieces[i];
    pieces[i] = pieces[n - 1 - i];
    pieces[n - 1 - i] = other;
  }
  for (guint i = n; how >= 2 && i > 1; i--) {
    const guint j = below (i);
    const Piece other = pieces[i - 1];
    pieces[i - 1] = pieces[j];
    pieces[j] = other;
  }
}

/* One of all ways in which pieces may not fit. */
static guint
spoil (guint length, Piece *pieces, guint n)
{
  Piece *piece = &pieces[below (n)];

  switch (below (6)) {
  case 0:                       /* a gap */
    *piece = pieces[n - 1];
    return n - 1;
  case 1:                       /* a duplicate */
    pieces[n] = *piece;
    return n + 1;
  case 2:                       /* the same instead of another: sums fit */
    *piece = pieces[below (n)];
    return n;
  case 3:                       /* one byte more, or less, at an end */
    if (piece->begin > 0)
      piece->begin--;
    else
      piece->end = MIN (length, piece->end + 1);
    return n;
  case 4:
    piece->end--;
    return n;
  default:                      /* anywhere at all */
    piece->begin = below (length);
    piece->end = piece->begin + 1 + below (length - piece->begin);
    return n;
  }
}

static void
test_random (void)
{
  static Piece pieces[PIECES_MOST];
  static guint8 times[MOST];
  guint whole = 0, spoiled = 0;

  for (guint round = 0; round < (g_test_slow () ? 200000 : 10000); round++) {
    /* Short ones meet by chance. */
    const guint length = 1 + below (g_test_rand_bit () ? 12 : MOST - 1);
    const guint64 offset
      = ((guint64) (guint32) g_test_rand_int () << 20) + below (1 << 20);
    NbdRead read = new_read (offset, length);
    guint n = tile (length, pieces);
    const bool fits = g_test_rand_bit ();
    bool once = true;

    if (!fits)
      n = spoil (length, pieces, n);
    reorder (pieces, n);
    memset (times, 0, sizeof times);
    for (guint i = 0; i < n; i++) {
      give (&read, offset + pieces[i].begin, offset + pieces[i].end);
      for (guint at = pieces[i].begin; at < pieces[i].end; at++)
        times[at] = (guint8) MIN (times[at] + 1, 2);
      /* It is never whole before the last byte has come. */
      if (nbd_read_is_whole (&read))
        g_assert_null (memchr (times, 0, length));
    }
    for (guint at = 0; at < length; at++)
      once = once && times[at] == 1;
    if (fits)
      g_assert_true (once);
    if (n > length / SECTOR + MORE_PIECES)
      g_assert_false (nbd_read_is_whole (&read));
    else {
      g_assert_cmpint (nbd_read_is_whole (&read), ==, once);
      whole += once;
      spoiled += !once;
    }
    /* Nothing is kept of what has been joined. */
    if (nbd_read_is_whole (&read) && read.islands)
      g_assert_cmpuint (read.islands->len, ==, 0);
    nbd_read_clear (&read);
    g_assert_null (read.islands);
  }
  g_assert_cmpuint (whole, >, 1000);
  g_assert_cmpuint (spoiled, >, 1000);
}

/* The same half twice adds up to as many bytes, which contents libnbd. */
static void
test_half_twice (void)
{
  const guint64 at = 5ULL << 40;

  for (guint half = 0; half < 2; half++) {
    NbdRead read = new_read (at, 1024);
    for (guint i = 0; i < 2; i++) {
      give (&read, at + half * 512, at + half * 512 + 512);
      g_assert_false (nbd_read_is_whole (&read));
    }
    g_assert_nonnull (read.wrong);
    /* What follows does not make it good. */
    give (&read, at + 512 - half * 512, at + 1024 - half * 512);
    g_assert_false (nbd_read_is_whole (&read));
    nbd_read_clear (&read);

    /* Nor may all of it come beside the half, first or last. */
    for (guint first = 0; first < 2; first++) {
      read = new_read (at, 1024);
      for (guint i = 0; i < 2; i++)
        if (i == first)
          give (&read, at, at + 1024);
        else
          give (&read, at + half * 512, at + half * 512 + 512);
      g_assert_false (nbd_read_is_whole (&read));
      nbd_read_clear (&read);
    }
  }
}

/* The largest request, at the end of the largest disk. */
static void
test_large (void)
{
  const guint64 at = G_MAXINT64 - G_MAXUINT32;
  NbdRead read = new_read (at, G_MAXUINT32);

  give (&read, at + 65536, at + G_MAXUINT32);
  g_assert_false (nbd_read_is_whole (&read));
  give (&read, at, at + 65536);
  g_assert_true (nbd_read_is_whole (&read));
  nbd_read_clear (&read);
}

static void
test_kinds (void)
{
  NbdRead read = new_read (512, 512);
  int error = EIO;

  /* Nothing has come; a piece of no bytes brings none. */
  g_assert_false (nbd_read_is_whole (&read));
  give (&read, 512, 512);
  give (&read, 1024, 1024);
  g_assert_false (nbd_read_is_whole (&read));
  /* What the server calls an error brings none either. */
  g_assert_cmpint (piece_came (&read, NULL, 0, 512, LIBNBD_READ_ERROR, &error),
                   ==, -1);
  g_assert_cmpint (error, ==, EIO);
  g_assert_false (nbd_read_is_whole (&read));
  give (&read, 512, 1024);
  g_assert_true (nbd_read_is_whole (&read));

  give_kind (&read, 512, 1024, 77);
  g_assert_false (nbd_read_is_whole (&read));
  read = new_read (512, 512);
  give_kind (&read, 512, 1024, LIBNBD_READ_ERROR);
  g_assert_false (nbd_read_is_whole (&read));
  nbd_read_clear (&read);
}

/* An answer without end is cut off, but none of a piece a sector. */
static void
test_endless (void)
{
  int pair[2];

  for (guint i = 0; i < 2; i++) {
    NbdRead read = new_read (0, 64 * SECTOR);
    struct pollfd other;

    g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
    read.fd = pair[0];
    other = (struct pollfd) { .fd = pair[1], .events = POLLRDHUP };
    for (guint sector = 0; sector < 64; sector++)
      give (&read, sector * SECTOR, (sector + 1) * SECTOR);
    for (guint more = 0; more < MORE_PIECES; more++)
      give (&read, 0, 0);
    g_assert_true (nbd_read_is_whole (&read));
    g_assert_cmpint (poll (&other, 1, 0), ==, 0);
    give (&read, 0, i * SECTOR);
    g_assert_false (nbd_read_is_whole (&read));
    g_assert_cmpint (poll (&other, 1, 0), ==, 1);
    nbd_read_clear (&read);
    close (pair[0]);
    close (pair[1]);
  }
}

static const NbdRead *told;
static int told_errnum;

static void
note_ended (NbdRead *read, int errnum)
{
  told = read;
  told_errnum = errnum;
}

/* Who is told of the end is told whether it is whole. */
static void
test_ended (void)
{
  for (guint i = 0; i < 3; i++) {
    NbdRead read = new_read (0, 1024);
    int error = i == 1 ? EACCES : 0;

    read.ended = note_ended;
    told = NULL;
    give (&read, 0, i == 2 ? 512 : 1024);
    g_assert_cmpint (completed (&read, &error), ==, 1);
    g_assert_true (told == &read);
    g_assert_cmpint (told_errnum, ==, i == 1 ? EACCES : i == 2 ? EIO : 0);
    g_assert_cmpint (read.wrong != NULL, ==, i == 2);
    nbd_read_clear (&read);
  }
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nbd-read/random", test_random);
  g_test_add_func ("/nbd-read/half-twice", test_half_twice);
  g_test_add_func ("/nbd-read/large", test_large);
  g_test_add_func ("/nbd-read/kinds", test_kinds);
  g_test_add_func ("/nbd-read/endless", test_endless);
  g_test_add_func ("/nbd-read/ended", test_ended);
  return g_test_run ();
}
