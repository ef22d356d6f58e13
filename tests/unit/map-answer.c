/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Answers of servers, well and ill, against what they say of each block,
 * looked up one by one.  --seed=... as printed repeats a failure.
 */
#include <config.h>

#include <string.h>

#include "nbd/endpoint.h"
#include "nbd/map-answer.h"

#define BLOCK 512
#define BLOCKS 4096
#define BITS "qemu:dirty-bitmap:monday"

/* What a context says of each block; -1: nothing. */
typedef struct {
  int flags[BLOCKS];
  GArray *entries;
} Context;

/* Until it ends, or a length of 0 does. */
static void
make_context (Context *context, guint blocks, guint most_flag)
{
  guint at = 0;

  context->entries = g_array_new (FALSE, FALSE, sizeof (uint32_t));
  memset (context->flags, 0xff, sizeof context->flags);
  while (at < blocks) {
    const guint run = g_test_rand_int_range (0, 100) == 0 ? 0
      : (guint) g_test_rand_int_range (1, g_test_rand_bit () ? 4 : 200);
    const uint32_t entry[2] = {
      run * BLOCK, (uint32_t) g_test_rand_int_range (0, (int) most_flag + 1) };
    g_array_append_vals (context->entries, entry, 2);
    if (run == 0)
      return;
    for (guint i = at; i < MIN (at + run, BLOCKS); i++)
      context->flags[i] = (int) entry[1];
    at += run;
  }
}

static bool
keep (MapAnswer *answer, const char *name, const Context *context)
{
  return map_answer_keep (answer, name,
                          (const uint32_t *) (void *) context->entries->data,
                          context->entries->len);
}

static DirtyState
state_of (const MapAnswer *answer, int dirty, int zero)
{
  const bool is_dirty = answer->depth == 0
    ? dirty != 0 : dirty >= 1 && dirty <= (int) answer->depth;

  return !is_dirty ? DIRTY_MAP_CLEAN
    : answer->wants_zeroes && (zero & 2) ? DIRTY_MAP_ZERO : DIRTY_MAP_DIRTY;
}

typedef struct {
  const DirtyMap *map;
  guint64 next;
} Visited;

static bool
visit (void *opaque, guint64 offset, guint64 length, DirtyState state)
{
  Visited *visited = opaque;
  guint64 end;

  g_assert_cmpuint (offset, ==, visited->next);
  g_assert_cmpint (dirty_map_lookup (visited->map, offset,
                                     dirty_map_frontier (visited->map), &end),
                   ==, state);
  g_assert_cmpuint (end, ==, offset + length);
  visited->next = end;
  return true;
}

/* As map says, which it was appended to. */
static void
check_visit (const MapAnswer *answer, const DirtyMap *map)
{
  const guint64 size = dirty_map_frontier (map);
  Visited visited = { .map = map };
  DirtyRun run = { 0 };

  g_assert_true (map_answer_visit (answer, size, &run, visit, &visited));
  g_assert_true (dirty_run_end (&run, size, visit, &visited));
  g_assert_cmpuint (visited.next, ==, size);
}

static void
test_random (void)
{
  for (guint round = 0; round < (g_test_slow () ? 20000 : 1000); round++) {
    const bool wants_zeroes = g_test_rand_bit (), all = g_test_rand_bit ();
    const guint depth = (guint) g_test_rand_int_range (0, 4);
    const guint asked = (guint) g_test_rand_int_range (1, BLOCKS + 1);
    Context dirty, zeroes;
    MapAnswer answer;
    guint covered = 0;

    make_context (&dirty, (guint) g_test_rand_int_range (1, BLOCKS + 1), 4);
    make_context (&zeroes, (guint) g_test_rand_int_range (1, BLOCKS + 1), 3);
    map_answer_init (&answer, BITS, depth, NBD_HOLES_MEAN_NOTHING,
                     wants_zeroes);
    map_answer_expect (&answer, 0, (guint64) asked * BLOCK, all);
    g_assert_true (keep (&answer, BITS, &dirty));
    g_assert_true (keep (&answer, NBD_CONTEXT_ALLOCATION, &zeroes));
    for (guint i = 0; all && i < BLOCKS; i++)
      dirty.flags[i] = i < asked ? 1 : -1;
    while (covered < asked && dirty.flags[covered] >= 0
           && (!wants_zeroes || zeroes.flags[covered] >= 0))
      covered++;
    g_assert_cmpuint (map_answer_covers (&answer), ==,
                      (guint64) covered * BLOCK);

    g_autoptr (DirtyMap) map = dirty_map_new ((guint64) covered * BLOCK, 0,
                                              DIRTY_MAP_MEMORY_LIMIT);
    map_answer_append (&answer, map, (guint64) covered * BLOCK);
    g_assert_cmpuint (dirty_map_frontier (map), ==, (guint64) covered * BLOCK);
    for (guint i = 0; i < covered; i++) {
      guint64 end;
      g_assert_cmpint (
        dirty_map_lookup (map, (guint64) i * BLOCK,
                          (guint64) covered * BLOCK, &end), ==,
        state_of (&answer, dirty.flags[i], zeroes.flags[i]));
    }
    check_visit (&answer, map);
    map_answer_clear (&answer);
    g_array_unref (dirty.entries);
    g_array_unref (zeroes.entries);
  }
}

/* A view of ours: what every flag means, and that nobody who is not asked is called
 * clean.
 */
static void
test_holes (void)
{
  const uint32_t told[] = { 512, 0, 512, 1, 512, 2, 512, 3, 512, 4, 512, 5,
                            512, 7, 512, 0xffffffff };
  const DirtyState all[][8] = {
    [NBD_HOLES_CLEAN] = { DIRTY_MAP_DIRTY, DIRTY_MAP_CLEAN, DIRTY_MAP_DIRTY,
                          DIRTY_MAP_ZERO, DIRTY_MAP_DIRTY, DIRTY_MAP_DIRTY,
                          DIRTY_MAP_DIRTY, DIRTY_MAP_DIRTY },
    [NBD_ZEROES_CLEAN] = { DIRTY_MAP_DIRTY, DIRTY_MAP_DIRTY, DIRTY_MAP_DIRTY,
                           DIRTY_MAP_CLEAN, DIRTY_MAP_DIRTY, DIRTY_MAP_DIRTY,
                           DIRTY_MAP_DIRTY, DIRTY_MAP_DIRTY },
  };

  for (guint holes = NBD_HOLES_CLEAN; holes <= NBD_ZEROES_CLEAN; holes++) {
    MapAnswer answer;
    guint64 end;

    map_answer_init (&answer, NBD_CONTEXT_ALLOCATION, 0, (NbdHoles) holes,
                     true);
    map_answer_expect (&answer, 0, 8 * 512, false);
    g_assert_true (map_answer_keep (&answer, NBD_CONTEXT_ALLOCATION, told, 16));
    g_assert_cmpuint (map_answer_covers (&answer), ==, 8 * 512);
    g_autoptr (DirtyMap) map = dirty_map_new (9 * 512, 0,
                                              DIRTY_MAP_MEMORY_LIMIT);
    map_answer_append (&answer, map, 8 * 512);
    map_answer_expect (&answer, 8 * 512, 512, true);
    map_answer_append (&answer, map, 512);
    for (guint i = 0; i < 8; i++)
      g_assert_cmpint (dirty_map_lookup (map, i * 512, 9 * 512, &end), ==,
                       all[holes][i]);
    g_assert_cmpint (dirty_map_lookup (map, 8 * 512, 9 * 512, &end), ==,
                     DIRTY_MAP_DIRTY);
    map_answer_clear (&answer);
  }
}

/* Odd answers: a context told twice, one that nobody asked for, half a pair. */
static void
test_odd (void)
{
  const uint32_t dirty[] = { 1024, 1, 1024, 0 }, zero[] = { 2048, 3, 7 };
  MapAnswer answer;

  map_answer_init (&answer, BITS, 0, NBD_HOLES_MEAN_NOTHING, true);
  map_answer_expect (&answer, 0, 2048, false);
  g_assert_cmpuint (map_answer_covers (&answer), ==, 0);
  g_assert_true (map_answer_keep (&answer, BITS, dirty, 4));
  g_assert_false (map_answer_keep (&answer, BITS, dirty, 4));
  g_assert_true (map_answer_keep (&answer, "qemu:dirty-bitmap:mon", dirty, 4));
  g_assert_cmpuint (map_answer_covers (&answer), ==, 0);
  g_assert_true (map_answer_keep (&answer, NBD_CONTEXT_ALLOCATION, zero, 3));
  g_assert_false (map_answer_keep (&answer, NBD_CONTEXT_ALLOCATION, zero, 2));
  g_assert_cmpuint (map_answer_covers (&answer), ==, 2048);

  /* What is asked of somebody else is not taken from this answer. */
  map_answer_expect (&answer, 2048, 2048, false);
  answer.asks_zeroes = false;
  g_assert_true (map_answer_keep (&answer, NBD_CONTEXT_ALLOCATION, zero, 2));
  g_assert_true (map_answer_keep (&answer, BITS, dirty, 4));
  g_assert_cmpuint (map_answer_covers (&answer), ==, 0);
  answer.asks_zeroes = true;
  answer.asks_dirty = false;
  g_assert_true (map_answer_keep (&answer, NBD_CONTEXT_ALLOCATION, zero, 2));
  g_assert_true (map_answer_keep (&answer, BITS, zero, 2));
  g_assert_cmpuint (map_answer_covers (&answer), ==, 2048);
  map_answer_clear (&answer);
  map_answer_clear (&answer);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/map-answer/random", test_random);
  g_test_add_func ("/map-answer/odd", test_odd);
  g_test_add_func ("/map-answer/holes", test_holes);
  return g_test_run ();
}
