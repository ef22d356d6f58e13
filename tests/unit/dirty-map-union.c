/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Unit tests of the union of dirty maps, and of the names and texts of what
 * is united.  --seed=... as printed repeats a failure.
 */
#include <string.h>

#include "map/dirty-map-chunk.h"
#include "map/dirty-map-union.h"
#include "parts/part-name.h"

#define SECTOR 512
#define MAX_SECTORS 400

static const DirtyState states[] = {
  DIRTY_MAP_CLEAN, DIRTY_MAP_DIRTY, DIRTY_MAP_ZERO
};

/* In words: dirty if dirty in one; zero only if nobody says data. */
static void
test_states (void)
{
  static const DirtyState expected[3][3] = {
    { DIRTY_MAP_CLEAN, DIRTY_MAP_DIRTY, DIRTY_MAP_ZERO },
    { DIRTY_MAP_DIRTY, DIRTY_MAP_DIRTY, DIRTY_MAP_DIRTY },
    { DIRTY_MAP_ZERO, DIRTY_MAP_DIRTY, DIRTY_MAP_ZERO },
  };

  for (guint i = 0; i < 3; i++)
    for (guint j = 0; j < 3; j++)
      g_assert_cmpint (dirty_state_union (states[i], states[j]), ==,
                       expected[i][j]);
}

/* Random runs into array and map, through the union with what came before
 * (both may be NULL).
 */
static DirtyMap *
add_random (guint8 *united, guint sectors, const DirtyMap *with)
{
  DirtyMap *map = dirty_map_new_with_span ((guint64) sectors * SECTOR, 0,
                                           DIRTY_MAP_MEMORY_LIMIT, 13);
  guint at = 0;

  while (at < sectors) {
    const guint length = (guint) g_test_rand_int_range (1, 40);
    const DirtyState state = states[g_test_rand_int_range (0, 3)];
    /* What goes beyond the end is ignored. */
    dirty_map_append_union (map, with, (guint64) length * SECTOR, state,
                            true);
    for (guint i = at; i < MIN (at + length, sectors); i++)
      united[i] = (guint8) dirty_state_union (united[i], state);
    at += length;
  }
  return map;
}

static void
test_random (void)
{
  for (guint round = 0; round < 3000; round++) {
    const guint sectors = (guint) g_test_rand_int_range (1, MAX_SECTORS);
    const guint parts = (guint) g_test_rand_int_range (1, 6);
    guint8 expected[MAX_SECTORS] = { 0 };
    g_autoptr (DirtyMap) united = NULL;

    for (guint i = 0; i < parts; i++) {
      DirtyMap *next = add_random (expected, sectors, united);
      dirty_map_free (united);
      united = next;
    }
    g_assert_cmpuint (dirty_map_frontier (united), ==, sectors * SECTOR);
    for (guint i = 0; i < sectors; i++) {
      guint64 end;
      g_assert_cmpint (dirty_map_lookup (united, i * SECTOR,
                                         sectors * SECTOR, &end),
                       ==, expected[i]);
    }
  }
}

/* A larger map below, and runs that end beyond both. */
static void
test_sizes (void)
{
  g_autoptr (DirtyMap) larger = dirty_map_new (8192, 0, 1024);
  g_autoptr (DirtyMap) map = dirty_map_new (4096, 0, 1024);
  guint64 end;

  dirty_map_append (larger, 1024, DIRTY_MAP_CLEAN);
  dirty_map_append (larger, 7168, DIRTY_MAP_DIRTY);
  dirty_map_append_union (map, larger, G_MAXUINT64, DIRTY_MAP_CLEAN, true);
  g_assert_cmpuint (dirty_map_frontier (map), ==, 4096);
  g_assert_cmpint (dirty_map_lookup (map, 0, 4096, &end), ==,
                   DIRTY_MAP_CLEAN);
  g_assert_cmpuint (end, ==, 1024);
  g_assert_cmpint (dirty_map_lookup (map, end, 4096, &end), ==,
                   DIRTY_MAP_DIRTY);
  g_assert_cmpuint (end, ==, 4096);
}

/* What another disk calls zero may be data here. */
static void
test_other_bytes (void)
{
  static const DirtyState expected[] = {
    DIRTY_MAP_DIRTY, DIRTY_MAP_DIRTY, DIRTY_MAP_ZERO
  };
  g_autoptr (DirtyMap) with = dirty_map_new (3 * SECTOR, 0, 1024);
  g_autoptr (DirtyMap) map = dirty_map_new (3 * SECTOR, 0, 1024);
  guint64 end;

  for (guint i = 0; i < 3; i++)
    dirty_map_append (with, SECTOR, states[i]);
  dirty_map_append_union (map, with, 3 * SECTOR, DIRTY_MAP_ZERO, false);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpint (dirty_map_lookup (map, i * SECTOR, 3 * SECTOR, &end), ==,
                     expected[i]);
}

static void
test_texts (void)
{
  static const char *const none[] = {
    "", "part", "part 0 of 3", "part 0 of 3:", "Part 0 of 3: x",
    "part 3 of 3: x", "part 00 of 3: x", "part 0 of 03: x", "part -0 of 3: x",
    "part 0 of 10000: x", "part 0 of 99999999999: x", " part 0 of 3: x",
    "part 0 of 0: x", "disk vda, part 0 of 3: x",
  };
  g_autofree char *text = part_label_format (9998, 9999);
  const char *rest;
  guint part, count;

  for (guint i = 0; i < G_N_ELEMENTS (none); i++)
    g_assert_false (part_label_parse (none[i], &part, &count, &rest));
  g_assert_true (part_label_parse (text, &part, &count, &rest));
  g_assert_cmpuint (part, ==, 9998);
  g_assert_cmpuint (count, ==, 9999);
  g_assert_cmpstr (rest, ==, "");
  /* What a checkpoint is called cannot make fewer parts. */
  g_assert_true (part_label_parse ("part 1 of 3: disk vda since part 0 of 1: x",
                                  &part, &count, &rest));
  g_assert_cmpuint (count, ==, 3);
  g_assert_cmpstr (rest, ==, "disk vda since part 0 of 1: x");
}

static void
test_names (void)
{
  static const char *const none[] = {
    "", "vda", "vda@monday", "vda@monday/", "vda@monday/x", "vda@monday/01",
    "vda@monday/1x", "vda@monday/10000", "vda@monday/-1", "0",
  };
  g_autofree char *name = part_name_format ("vda@a/b", 12);
  gsize length;
  guint part;

  for (guint i = 0; i < G_N_ELEMENTS (none); i++)
    g_assert_false (part_name_parse (none[i], &length, &part));
  g_assert_cmpstr (name, ==, "vda@a/b/12");
  g_assert_true (part_name_parse (name, &length, &part));
  g_assert_cmpuint (length, ==, strlen ("vda@a/b"));
  g_assert_cmpuint (part, ==, 12);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/union/states", test_states);
  g_test_add_func ("/union/random", test_random);
  g_test_add_func ("/union/sizes", test_sizes);
  g_test_add_func ("/union/other-bytes", test_other_bytes);
  g_test_add_func ("/union/texts", test_texts);
  g_test_add_func ("/union/names", test_names);
  return g_test_run ();
}
