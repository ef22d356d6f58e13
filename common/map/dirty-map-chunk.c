/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Encodes one chunk of a dirty map, and looks things up in it.  The smallest of
 * three encodings is taken:
 *
 * - Uniform: one state, no memory.  Most chunks of most disks.
 * - Runs: 4 bytes each, found by binary search.  For few changes, or few at odd
 *   places.
 * - Planes: a bit for each *unit* of the chunk, the largest power of two of
 *   cells that divides every start.  It follows from the data, so a bitmap of
 *   64 KiB granularity costs a bit per 64 KiB.  Two states need one plane,
 *   three need two, whose words alternate so that both are on the same cache
 *   line.
 *
 * Behind the planes is a summary: a bit for each word, set when the word's bits
 * are not all equal to the last bit before it.  It costs 1/64, and keeps a
 * look-up within microseconds in the largest possible plane: of its 4 MiB, at
 * most 64 KiB are read.
 *
 * A chunk that does not fit in its budget is reduced: first the zeroes become
 * plain dirty, then the unit is doubled until it fits, at the latest when the
 * whole chunk is one dirty cell.  Both only ever turn something into DIRTY.
 * Zeroes go first, as a lost zero costs a read of zeroes, and a lost clean
 * block a block in the backup.  For the same reason zeroes are kept only if
 * chunks like this one, but without zeroes, would fit in the rest of the
 * memory, or the first half of a disk would spend on zeroes what the second
 * half needs to tell clean from dirty.
 */
#include <config.h>

#include "map/dirty-map-chunk.h"

/* What decides the encoding of a list of runs. */
typedef struct {
  guint32 n;
  guint32 starts;               /* all starts or-ed: the unit's zero bits */
  guint32 states;               /* bit s is set if state s occurs */
} Shape;

typedef struct {
  DirtyMapChunkKind kind;
  guint shift;
  guint planes;
  guint32 words;                /* per plane */
  gsize bytes;                  /* as allocated */
} Plan;

#define SEEN(state) (1U << (state))

gsize
dirty_map_allocated (gsize bytes)
{
  /* glibc: a word of overhead, multiples of 16, at least 32. */
  return bytes == 0 ? 0 : MAX (32, (bytes + 8 + 15) & ~(gsize) 15);
}

guint32
dirty_map_runs_demote (guint32 *runs, guint32 n)
{
  guint32 out = 0;

  for (guint32 i = 0; i < n; i++) {
    const guint32 run = runs[i] & ~2U;
    if (out == 0 || ((runs[out - 1] ^ run) & 3) != 0)
      runs[out++] = run;
  }
  return out;
}

/* A list of clean and dirty runs cannot become longer: dirty runs grow at both
 * ends, and the clean ones between them shrink or go.  With zeroes it could: a
 * dirty cell appears between a zero and a clean run.
 */
guint32
dirty_map_runs_coarsen (guint32 *runs, guint32 n, guint32 cells, guint shift)
{
  const guint32 mask = (1U << shift) - 1;
  guint32 out = 0;

  for (guint32 i = 0; i < n; i++) {
    guint32 start = dirty_map_run_start (runs[i]);
    if (dirty_map_run_state (runs[i]) == DIRTY_MAP_CLEAN) {
      start = (start + mask) & ~mask;
      if (start < cells)
        runs[out++] = dirty_map_run (start, DIRTY_MAP_CLEAN);
      continue;
    }
    start &= ~mask;
    if (out > 0 && dirty_map_run_state (runs[out - 1]) == DIRTY_MAP_CLEAN
        && dirty_map_run_start (runs[out - 1]) >= start)
      out--;
    if (out == 0 || dirty_map_run_state (runs[out - 1]) == DIRTY_MAP_CLEAN)
      runs[out++] = dirty_map_run (start, DIRTY_MAP_DIRTY);
  }
  return out;
}

/* state_mask 3: of the runs as they are; 1: as if they had been demoted. */
static Shape
measure (const guint32 *runs, guint32 n, guint32 state_mask)
{
  Shape shape = { 0, 0, 0 };
  guint32 before = 4;

  for (guint32 i = 0; i < n; i++) {
    const guint32 state = runs[i] & state_mask;
    const guint32 differs = state != before;
    shape.n += differs;
    shape.starts |= dirty_map_run_start (runs[i]) & -differs;
    shape.states |= SEEN (state);
    before = state;
  }
  return shape;
}

static Plan
choose (Shape shape, guint32 cells)
{
  const gsize runs_bytes = (gsize) shape.n * sizeof (guint32);
  Plan plan = { .kind = DIRTY_MAP_CHUNK_UNIFORM };

  if (shape.n == 1)
    return plan;
  plan.shift = (guint) __builtin_ctz (shape.starts);
  plan.planes = (guint) __builtin_popcount (shape.states) - 1;
  plan.words = ((cells - 1) >> plan.shift) / 64 + 1;
  const gsize bits_bytes = sizeof (guint64)
    * ((gsize) plan.words * plan.planes + (plan.words + 63) / 64);
  /* With equal size planes are faster. */
  if (bits_bytes <= runs_bytes) {
    plan.kind = plan.planes == 1 ? DIRTY_MAP_CHUNK_ONE_PLANE
      : DIRTY_MAP_CHUNK_TWO_PLANES;
    plan.bytes = dirty_map_allocated (bits_bytes);
  }
  else {
    plan.kind = DIRTY_MAP_CHUNK_RUNS;
    plan.bytes = dirty_map_allocated (runs_bytes);
  }
  return plan;
}

/* Set the bits from .. to - 1 of a plane that has every stride-th word. */
static inline void
set_bits (guint64 *plane, guint stride, guint64 from, guint64 to)
{
  const guint64 first = from / 64, last = (to - 1) / 64;
  const guint64 head = ~G_GUINT64_CONSTANT (0) << from % 64;
  const guint64 tail = ~G_GUINT64_CONSTANT (0) >> (63 - (to - 1) % 64);

  if (first == last) {
    plane[first * stride] |= head & tail;
    return;
  }
  plane[first * stride] |= head;
  for (guint64 w = first + 1; w < last; w++)
    plane[w * stride] = ~G_GUINT64_CONSTANT (0);
  plane[last * stride] |= tail;
}

static void
summarise (guint64 *data, guint32 words, guint planes)
{
  guint64 *summary = data + (gsize) words * planes;
  guint64 before[2] = { 0, 0 };

  g_assert (planes <= G_N_ELEMENTS (before));
  for (guint32 w = 0; w < words; w++) {
    guint64 differs = 0;
    for (guint p = 0; p < planes; p++) {
      const guint64 word = data[(gsize) w * planes + p];
      differs |= word ^ before[p];
      before[p] = -(word >> 63);
    }
    if (differs != 0)
      summary[w / 64] |= G_GUINT64_CONSTANT (1) << w % 64;
  }
}

/* The last run fills the last word, so that what is behind the end of the chunk
 * never looks like a change.
 */
static guint64 *
make_planes (const Plan *plan, DirtyState high, const guint32 *runs, guint32 n)
{
  guint64 *data
    = g_new0 (guint64, (gsize) plan->words * plan->planes
              + (plan->words + 63) / 64);

  for (guint32 i = 0; i < n; i++) {
    const DirtyState state = dirty_map_run_state (runs[i]);
    const guint64 from = dirty_map_run_start (runs[i]) >> plan->shift;
    const guint64 to = i + 1 < n
      ? dirty_map_run_start (runs[i + 1]) >> plan->shift
      : (guint64) plan->words * 64;
    if (plan->planes == 1 ? state == high : (state & 1) != 0)
      set_bits (data, plan->planes, from, to);
    if (plan->planes == 2 && (state & 2) != 0)
      set_bits (data + 1, 2, from, to);
  }
  summarise (data, plan->words, plan->planes);
  return data;
}

/* What a chunk may take with its zeroes, if it takes `flat` bytes without. */
static gsize
allowance_with_zeroes (const DirtyMapBudget *budget, gsize flat)
{
  const guint64 reserve = (guint64) MAX (budget->share, flat) * budget->rest;

  if (reserve >= budget->left)
    return budget->share;
  return MAX (budget->share, budget->left - (gsize) reserve);
}

gsize
dirty_map_chunk_seal (DirtyMapChunk *chunk, guint32 *runs, guint32 n,
                      guint32 cells, const DirtyMapBudget *budget,
                      bool *reduced)
{
  const gsize allowance = budget->left - budget->share * budget->rest;
  Shape shape = measure (runs, n, 3);
  Plan plan = choose (shape, cells);

  if (plan.bytes > 0 && (shape.states & SEEN (DIRTY_MAP_ZERO)) != 0) {
    const Shape flat = measure (runs, n, 1);
    const Plan flat_plan = choose (flat, cells);
    const gsize most = plan.bytes == flat_plan.bytes ? allowance
      : allowance_with_zeroes (budget, flat_plan.bytes);
    if (plan.bytes > most) {
      n = dirty_map_runs_demote (runs, n);
      shape = flat;
      plan = flat_plan;
      *reduced = true;
    }
  }
  while (plan.bytes > allowance) {
    n = dirty_map_runs_coarsen (runs, n, cells, plan.shift + 1);
    shape = measure (runs, n, 3);
    plan = choose (shape, cells);
    *reduced = true;
  }

  chunk->kind = (guint8) plan.kind;
  chunk->shift = (guint8) plan.shift;
  chunk->low = (guint8) __builtin_ctz (shape.states);
  chunk->high = (guint8) (31 - __builtin_clz (shape.states));
  chunk->n = plan.kind == DIRTY_MAP_CHUNK_RUNS ? n : plan.words;
  chunk->data = plan.kind == DIRTY_MAP_CHUNK_UNIFORM ? NULL
    : plan.kind == DIRTY_MAP_CHUNK_RUNS
    ? g_memdup2 (runs, (gsize) n * sizeof (guint32))
    : make_planes (&plan, chunk->high, runs, n);
  return plan.bytes;
}

void
dirty_map_chunk_clear (DirtyMapChunk *chunk)
{
  g_clear_pointer (&chunk->data, g_free);
}

/* Written so that it may compile to conditional moves: each comparison is a
 * coin toss, and a mispredicted branch costs more than the whole step.
 */
static DirtyState
lookup_runs (const DirtyMapChunk *chunk, guint32 cell, guint32 *next)
{
  const guint32 *run = chunk->data;
  const guint32 *const end = run + chunk->n;
  const guint32 key = cell << 2 | 3;
  guint32 left = chunk->n;

  while (left > 1) {
    const guint32 half = left / 2;
    run = run[half] <= key ? run + half : run;
    left -= half;
  }
  *next = run + 1 < end ? dirty_map_run_start (run[1]) : DIRTY_MAP_NO_CHANGE;
  return dirty_map_run_state (*run);
}

/* The first word after w with a change in it, or words. */
static guint32
next_changed_word (const guint64 *summary, guint32 words, guint32 w)
{
  const guint32 n = (words + 63) / 64;

  if (++w >= words)
    return words;
  guint32 i = w / 64;
  guint64 bits = summary[i] & ~G_GUINT64_CONSTANT (0) << w % 64;
  while (bits == 0) {
    if (++i == n)
      return words;
    bits = summary[i];
  }
  return i * 64 + (guint32) __builtin_ctzll (bits);
}

static inline DirtyState
lookup_planes (const DirtyMapChunk *chunk, guint planes, guint32 cell,
               guint32 *next)
{
  const guint64 *data = chunk->data;
  const guint32 bit = cell >> chunk->shift;
  guint32 w = bit / 64;
  guint64 same[2] = { 0, 0 }, differs = 0;

  for (guint p = 0; p < planes; p++) {
    const guint64 word = data[(gsize) w * planes + p];
    same[p] = -(word >> bit % 64 & 1);
    differs |= word ^ same[p];
  }
  differs &= ~G_GUINT64_CONSTANT (0) << bit % 64;
  if (differs == 0) {
    w = next_changed_word (data + (gsize) chunk->n * planes, chunk->n, w);
    if (w < chunk->n)
      for (guint p = 0; p < planes; p++)
        differs |= data[(gsize) w * planes + p] ^ same[p];
  }
  *next = differs == 0 ? DIRTY_MAP_NO_CHANGE
    : (w * 64 + (guint32) __builtin_ctzll (differs)) << chunk->shift;
  if (planes == 1)
    return same[0] ? chunk->high : chunk->low;
  return (DirtyState) ((same[0] & 1) | (same[1] & 2));
}

DirtyState
dirty_map_chunk_lookup (const DirtyMapChunk *chunk, guint32 cell,
                        guint32 *next)
{
  switch ((DirtyMapChunkKind) chunk->kind) {
  case DIRTY_MAP_CHUNK_UNIFORM:
    *next = DIRTY_MAP_NO_CHANGE;
    return chunk->low;
  case DIRTY_MAP_CHUNK_RUNS:
    return lookup_runs (chunk, cell, next);
  case DIRTY_MAP_CHUNK_ONE_PLANE:
    return lookup_planes (chunk, 1, cell, next);
  case DIRTY_MAP_CHUNK_TWO_PLANES:
    return lookup_planes (chunk, 2, cell, next);
  }
  g_assert_not_reached ();
}
