/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "filesystem/census.h"

/* 24 bytes each. */
#define CLAIMS_MAX (16 * 1024 * 1024)

typedef struct {
  guint64 start, end;
  guint owner;
} Claim;

struct Census {
  const Run *runs;
  gsize count;
  guint64 granule, phase;
  GArray *claims;               /* of Claim, clipped to runs */
  GArray *sums;                 /* of CensusSum, by owner */
  GArray *rest;                 /* of Run */
  bool overflowed;
};

Census *
census_new (const Run *runs, gsize count, guint64 granule, guint64 phase)
{
  Census *self = g_new0 (Census, 1);

  self->runs = runs;
  self->count = count;
  self->granule = granule;
  self->phase = phase;
  self->claims = g_array_new (FALSE, FALSE, sizeof (Claim));
  self->sums = g_array_new (FALSE, TRUE, sizeof (CensusSum));
  self->rest = runs_new ();
  return self;
}

void
census_free (Census *self)
{
  if (!self)
    return;
  g_array_unref (self->claims);
  g_array_unref (self->sums);
  g_array_unref (self->rest);
  g_free (self);
}

bool
census_touches (const Census *self, guint64 start, guint64 length)
{
  const gsize first = runs_find (self->runs, self->count, start);

  return first < self->count
    && self->runs[first].start < start + MIN (length, G_MAXUINT64 - start);
}

guint
census_next (const Census *self)
{
  return self->sums->len;
}

guint
census_add (Census *self)
{
  g_array_set_size (self->sums, self->sums->len + 1);
  return self->sums->len - 1;
}

static void
add_claim (Census *self, guint owner, guint64 start, guint64 end)
{
  const Claim claim = { start, end, owner };
  Claim *last = self->claims->len > 0
    ? &g_array_index (self->claims, Claim, self->claims->len - 1) : NULL;

  if (last && last->owner == owner && last->end == start)
    last->end = end;
  else if (self->claims->len >= CLAIMS_MAX)
    self->overflowed = true;
  else
    g_array_append_val (self->claims, claim);
}

void
census_claim (Census *self, guint owner, guint64 start, guint64 length)
{
  const guint64 end = start + MIN (length, G_MAXUINT64 - start);

  for (gsize i = runs_find (self->runs, self->count, start);
       i < self->count && self->runs[i].start < end; i++) {
    if (owner == self->sums->len)
      census_add (self);
    g_array_index (self->sums, CensusSum, owner).touched = true;
    add_claim (self, owner, MAX (start, self->runs[i].start),
               MIN (end, self->runs[i].end));
  }
}

static int
compare_claims (const void *a, const void *b)
{
  const Claim *first = a, *second = b;

  if (first->start != second->start)
    return first->start < second->start ? -1 : 1;
  return first->owner < second->owner ? -1 : first->owner > second->owner;
}

static bool
holds_granule (const Census *self, guint64 start, guint64 end)
{
  const guint64 offset
    = self->granule ? (start + self->granule - self->phase) % self->granule : 0;

  return self->granule && end - start >= self->granule
    + (offset ? self->granule - offset : 0);
}

void
census_count (Census *self)
{
  guint64 counted = 0;          /* all below is somebody's, or in rest */
  guint last = G_MAXUINT;       /* whose the bytes before that are */
  gsize run = 0;

  g_array_sort (self->claims, compare_claims);
  for (guint i = 0; i < self->claims->len; i++) {
    const Claim *claim = &g_array_index (self->claims, Claim, i);
    CensusSum *sum = &g_array_index (self->sums, CensusSum, claim->owner);
    for (; self->runs[run].end <= claim->start; run++)
      runs_append (self->rest, MAX (counted, self->runs[run].start),
                   self->runs[run].end);
    runs_append (self->rest, MAX (counted, self->runs[run].start),
                 claim->start);
    const guint64 start = MAX (counted, claim->start);
    const guint64 fresh = start < claim->end ? claim->end - start : 0;
    sum->bytes += fresh;
    if (claim->owner != last)
      sum->shared += claim->end - claim->start - fresh;
    if (fresh > 0)
      last = claim->owner;
    sum->is_whole |= holds_granule (self, claim->start, claim->end);
    counted = MAX (counted, claim->end);
  }
  for (; run < self->count; run++)
    runs_append (self->rest, MAX (counted, self->runs[run].start),
                 self->runs[run].end);
}

CensusSum
census_sum (const Census *self, guint owner)
{
  return g_array_index (self->sums, CensusSum, owner);
}

GArray *
census_rest (const Census *self)
{
  GArray *rest = runs_new ();

  g_array_append_vals (rest, self->rest->data, self->rest->len);
  return rest;
}

bool
census_overflowed (const Census *self)
{
  return self->overflowed;
}
