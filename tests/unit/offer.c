/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/source/offer.c: who may be asked for.
 */

#include "source/offer.h"

static Forest *
forest_of (const char *const *names)
{
  Forest *forest = forest_new ();

  for (; *names; names++)
    g_assert_true (forest_add (forest, checkpoint_new (*names), NULL));
  forest_link (forest);
  return forest;
}

#define FOREST(...) forest_of ((const char *[]) { __VA_ARGS__, NULL })

/* Of images: all, and no job excludes one. */
static void
test_images (void)
{
  g_autoptr (Offer) offer = offer_new (FOREST ("a", "b"), NULL, NULL);

  g_assert_cmpuint (forest_size (offer->forest), ==, 2);
  g_assert_cmpstr (forest_lookup (offer->forest, "b")->name, ==, "b");
  g_assert_null (forest_lookup (offer->forest, "c"));
  g_assert_null (offer->base);
  g_assert_false (offer_excludes (offer, "a"));
  g_assert_false (offer_excludes (offer, "c"));
}

/* Others are known, but excluded; of one that is not known, nothing is said. */
static void
test_job (void)
{
  g_autoptr (Offer) offer
    = offer_new (FOREST ("b"), FOREST ("a", "b"), "b");

  g_assert_cmpstr (offer->base, ==, "b");
  g_assert_null (forest_lookup (offer->forest, "a"));
  g_assert_true (offer_excludes (offer, "a"));
  g_assert_false (offer_excludes (offer, "b"));
  g_assert_false (offer_excludes (offer, "c"));
}

/* A full backup excludes all that there are. */
static void
test_full_job (void)
{
  g_autoptr (Offer) offer
    = offer_new (FOREST (NULL), FOREST ("a", "b"), NULL);

  g_assert_null (offer->base);
  g_assert_cmpuint (forest_size (offer->forest), ==, 0);
  g_assert_true (offer_excludes (offer, "a"));
  g_assert_true (offer_excludes (offer, "b"));
  g_assert_false (offer_excludes (offer, "c"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/offer/images", test_images);
  g_test_add_func ("/offer/job", test_job);
  g_test_add_func ("/offer/full-job", test_full_job);
  return g_test_run ();
}
