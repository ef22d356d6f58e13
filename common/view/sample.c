/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The generator is SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast Splittable
 * Pseudorandom Number Generators", 2014), whose n-th number needs none of those
 * before it.
 */
#include <config.h>

#include "view/sample.h"

#define GOLDEN G_GUINT64_CONSTANT (0x9e3779b97f4a7c15)

static guint64
mix (guint64 number)
{
  number = (number ^ (number >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  number = (number ^ (number >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return number ^ (number >> 31);
}

/* Seeds that are close to each other, as 1 and 2, must have nothing in common. */
bool
sample_takes (guint64 seed, double share, guint64 block)
{
  const guint64 random = mix (mix (seed) + (block + 1) * GOLDEN);

  return (double) (random >> 11) * 0x1p-53 < share;
}

/* The product, for each of the fewer ones, of the chance that it is none of the
 * others if those before it were not either.
 */
double
sample_odds (guint64 blocks, guint64 taken, guint64 wrong)
{
  const guint64 few = MIN (taken, wrong), many = MAX (taken, wrong);
  double missed = 1;

  if (few == 0)
    return 0;
  if (many > blocks - few)
    return 1;
  for (guint64 i = 0; i < few && missed > 1e-12; i++)
    missed *= 1 - (double) many / (double) (blocks - i);
  return 1 - missed;
}
