/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */

/* What the dirty map costs: nanoseconds per append, per look-up of a walk
 * from run to run, and per look-up at a random offset without a limit,
 * and memory.  Prints one line per load, asserts nothing.
 *
 * The loads are deterministic.  "allocated" is what malloc says, to be
 * compared with what the map says of itself; it needs glibc.
 */

#include <stdio.h>
#include <stdlib.h>
#include <malloc.h>

#include "map/dirty-map.h"

#define KiB G_GUINT64_CONSTANT (1024)
#define MiB (1024 * KiB)
#define GiB (1024 * MiB)
#define TiB (1024 * GiB)

#define RANDOM_LOOKUPS 1000000

typedef struct {
  const char *name;
  guint64 size, block;
  guint64 runs;                 /* appended; the rest is clean */
  guint states;                 /* 2 or 3 */
  guint clean, dirty;           /* random lengths, in blocks, up to these */
} Load;

static const Load loads[] = {
  { "256 GiB, every other 64 KiB", 256 * GiB, 64 * KiB, 4 * MiB, 2, 1, 1 },
  { "256 GiB, three states", 256 * GiB, 64 * KiB, 4 * MiB, 3, 1, 1 },
  { "1 TiB, random runs", TiB, 64 * KiB, 4 * MiB, 2, 5, 2 },
  { "8 TiB, sparse runs", 8 * TiB, 64 * KiB, 4 * MiB, 2, 60, 4 },
  { "8 TiB, odd sectors", 8 * TiB, 512, 4 * MiB, 2, 8000, 100 },
  { "2 GiB, every other sector", 2 * GiB, 512, 4 * MiB, 2, 1, 1 },
  { "64 TiB, every other 64 KiB", 64 * TiB, 64 * KiB, 64 * MiB, 2, 1, 1 },
  { "1 PiB, one chunk of sectors", 1024 * TiB, 512, MiB, 2, 2, 3 },
  { "16 TiB, every other 64 KiB", 16 * TiB, 64 * KiB, 256 * MiB, 2, 1, 1 },
  { "16 TiB, three states", 16 * TiB, 64 * KiB, 256 * MiB, 3, 1, 1 },
  { "16 TiB, all clean", 16 * TiB, 64 * KiB, 0, 2, 1, 1 },
};

static guint64 seed;

/* splitmix64: small enough not to count. */
static inline guint64
next_random (void)
{
  guint64 z = seed += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);

  z = (z ^ z >> 30) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return z ^ z >> 31;
}

static double
now (void)
{
  return (double) g_get_monotonic_time () * 1000;
}

static gsize
allocated (void)
{
#ifdef __GLIBC__
  const struct mallinfo2 info = mallinfo2 ();

  return info.uordblks + info.hblkhd;
#else
  return 0;
#endif
}

/* Returns the most memory the map took. */
static gsize
fill (DirtyMap *map, const Load *load, guint64 *appends)
{
  gsize most = 0;
  guint64 i, blocks;

  for (i = 0; i < load->runs; ++i) {
    const guint most_blocks = i % 2 ? load->dirty : load->clean;
    DirtyState state = DIRTY_MAP_CLEAN;

    if (i % 2)
      state = load->states == 3 && i % 4 == 3 ? DIRTY_MAP_ZERO :
        DIRTY_MAP_DIRTY;
    blocks = most_blocks == 1 ? 1 : 1 + next_random () % most_blocks;
    dirty_map_append (map, blocks * load->block, state);
    if (i % 65536 == 0)
      most = MAX (most, dirty_map_memory (map));
  }
  dirty_map_append (map, G_MAXUINT64, DIRTY_MAP_CLEAN);
  *appends = load->runs + 1;
  return MAX (most, dirty_map_memory (map));
}

static guint64
walk (const DirtyMap *map, guint64 size)
{
  guint64 offset, n = 0;

  for (offset = 0; offset < size; ++n)
    dirty_map_lookup (map, offset, size, &offset);
  return n;
}

static void
bench (const Load *load)
{
  const gsize before = allocated ();
  g_autoptr (DirtyMap) map = dirty_map_new (load->size, 0,
                                            DIRTY_MAP_MEMORY_LIMIT);
  double start, append_ns, walk_ns, random_ns, worst_ns = 0;
  guint64 appends, runs, end, i;
  gsize most;

  seed = 1;
  start = now ();
  most = fill (map, load, &appends);
  append_ns = now () - start;

  start = now ();
  runs = walk (map, load->size);
  walk_ns = now () - start;

  start = now ();
  for (i = 0; i < RANDOM_LOOKUPS; ++i)
    dirty_map_lookup (map, next_random () % load->size, load->size, &end);
  random_ns = now () - start;

  /* The longest search: from just inside each run to its end. */
  for (guint64 offset = 0, n = 0; offset < load->size && n < 1000; ++n) {
    double took;

    start = now ();
    for (i = 0; i < 1000; ++i)
      dirty_map_lookup (map, offset, load->size, &end);
    took = (now () - start) / 1000;
    worst_ns = MAX (worst_ns, took);
    offset = MAX (end, load->size / 1000 * n);
  }

  printf ("%-28s %9.2f %9.2f %9.2f %9.2f %10" G_GUINT64_FORMAT
          " %8.2f %8.2f %8.2f  %s\n",
          load->name, append_ns / (double) appends, walk_ns / (double) runs,
          random_ns / RANDOM_LOOKUPS, worst_ns, runs,
          (double) most / (double) MiB,
          (double) dirty_map_memory (map) / (double) MiB,
          (double) (allocated () - before) / (double) MiB,
          dirty_map_is_exact (map) ? "exact" : "coarse");
  fflush (stdout);
}

int
main (void)
{
  gsize i;

  printf ("%-28s %9s %9s %9s %9s %10s %8s %8s %8s\n", "", "append", "walk",
          "random", "slowest", "", "peak", "kept", "malloc");
  printf ("%-28s %9s %9s %9s %9s %10s %8s %8s %8s\n", "load", "ns", "ns",
          "ns", "ns", "runs", "MiB", "MiB", "MiB");
  for (i = 0; i < G_N_ELEMENTS (loads); ++i)
    bench (&loads[i]);
  return EXIT_SUCCESS;
}
