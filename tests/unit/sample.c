/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/view/sample.c and common/view/tally.c.
 */
#include <config.h>

#include <string.h>

#include "view/sample.h"
#include "view/tally.h"

/* By counting all samples of that many blocks; the wrong ones are the first. */
static double
counted (guint blocks, guint taken, guint wrong)
{
  guint all = 0, found = 0;

  for (guint set = 0; set < 1U << blocks; set++) {
    if ((guint) __builtin_popcount (set) != taken)
      continue;
    all++;
    found += (set & ((1U << wrong) - 1)) != 0;
  }
  return (double) found / all;
}

static void
test_odds (void)
{
  for (guint blocks = 1; blocks <= 10; blocks++)
    for (guint taken = 0; taken <= blocks; taken++)
      for (guint wrong = 0; wrong <= blocks; wrong++)
        g_assert_cmpfloat_with_epsilon (sample_odds (blocks, taken, wrong),
                                        counted (blocks, taken, wrong), 1e-9);
  /* Of 16 TiB, 1 %, of which 1 % is wrong. */
  g_assert_cmpfloat (sample_odds (1 << 28, 2684354, 2684354), >, 0.9999);
  g_assert_cmpfloat_with_epsilon (sample_odds (1000, 100, 1), 0.1, 1e-9);
}

/* Each block has the same chance, seeds have nothing in common, and one seed
 * always takes the same.
 */
static void
test_takes (void)
{
  static const double shares[] = { 0.001, 0.01, 0.3, 0.9 };
  const guint64 blocks = 200000;

  for (guint i = 0; i < G_N_ELEMENTS (shares); i++) {
    const double share = shares[i];
    guint64 taken = 0, both = 0;
    for (guint64 block = 0; block < blocks; block++) {
      const bool first = sample_takes (1, share, block);
      g_assert_true (first == sample_takes (1, share, block));
      taken += first;
      both += first && sample_takes (2, share, block);
    }
    /* 5 standard deviations and a little; the seeds never change. */
    g_assert_cmpfloat_with_epsilon ((double) taken / blocks, share, 0.006);
    g_assert_cmpfloat_with_epsilon ((double) both / blocks, share * share,
                                    0.006);
  }
  for (guint64 block = 0; block < 1000; block++) {
    g_assert_true (sample_takes (7, 1, block));
    g_assert_false (sample_takes (7, 0, block));
  }
}

static void
check_places (const Tally *tally, const char *expected)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < tally->places->len; i++) {
    const TallyPlace *place = &g_array_index (tally->places, TallyPlace, i);
    g_string_append_printf (text, "%" G_GUINT64_FORMAT "+%" G_GUINT64_FORMAT
                            " ", place->offset, place->length);
  }
  g_assert_cmpstr (text->str, ==, expected);
}

static void
test_tally (void)
{
  Tally tally;

  tally_init (&tally);
  tally_add (&tally, 50, 10);
  tally_add (&tally, 10, 10);
  check_places (&tally, "10+10 50+10 ");
  tally_add (&tally, 60, 5);    /* after one */
  tally_add (&tally, 5, 5);     /* before one */
  tally_add (&tally, 30, 1);
  check_places (&tally, "5+15 30+1 50+15 ");
  tally_add (&tally, 20, 10);   /* between two */
  check_places (&tally, "5+26 50+15 ");
  g_assert_cmpuint (tally.bytes, ==, 41);
  g_assert_false (tally.more);
  tally_clear (&tally);
}

/* In any order, the first ones stay. */
static void
test_many (void)
{
  guint order[4 * TALLY_PLACES];
  Tally tally;

  for (guint i = 0; i < G_N_ELEMENTS (order); i++)
    order[i] = i;
  for (guint i = G_N_ELEMENTS (order) - 1; i > 0; i--) {
    const guint other = (guint) g_test_rand_int_range (0, (gint) i + 1);
    const guint kept = order[i];
    order[i] = order[other];
    order[other] = kept;
  }
  tally_init (&tally);
  for (guint i = 0; i < G_N_ELEMENTS (order); i++)
    tally_add (&tally, 10 * order[i], 5);
  g_assert_true (tally.more);
  g_assert_cmpuint (tally.places->len, ==, TALLY_PLACES);
  for (guint i = 0; i < TALLY_PLACES; i++)
    g_assert_cmpuint (g_array_index (tally.places, TallyPlace, i).offset, ==,
                      10 * i);
  g_assert_cmpuint (tally.bytes, ==, 5 * G_N_ELEMENTS (order));
  tally_clear (&tally);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sample/odds", test_odds);
  g_test_add_func ("/sample/takes", test_takes);
  g_test_add_func ("/tally/joins", test_tally);
  g_test_add_func ("/tally/many", test_many);
  return g_test_run ();
}
