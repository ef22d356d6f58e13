/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */

/* Unit tests of the dirty map.
 *
 * Most of the weight is on the property test: random maps against an
 * array with one element per byte, to which the rules of dirty-map.h are
 * applied as literally as possible.  It uses chunks of 1 KiB and more
 * (dirty_map_new_with_span) as chunks of the real size would hide their
 * boundaries from any array of reasonable length.  Run it with
 * --seed=... as printed to repeat a failure, and with -m slow for more
 * rounds.
 */

#include <string.h>

#include "map/dirty-map-chunk.h"
#include "map/dirty-map-walk.h"
#include "map/dirty-map.h"

#define KiB G_GUINT64_CONSTANT (1024)
#define MiB (1024 * KiB)
#define GiB (1024 * MiB)
#define TiB (1024 * GiB)
#define PiB (1024 * TiB)

#define C DIRTY_MAP_CLEAN
#define D DIRTY_MAP_DIRTY
#define Z DIRTY_MAP_ZERO

static const DirtyState states[] = { C, D, Z };

/* Assert that the map says so of start .. end - 1, as maximal runs. */
static void
check_run (const DirtyMap *map, guint64 start, guint64 end, DirtyState state)
{
  guint64 stop;

  g_assert_cmpint (dirty_map_lookup (map, start, dirty_map_frontier (map),
                                     &stop), ==, state);
  g_assert_cmpuint (stop, ==, end);
}

/* One letter per block of 4 KiB: '.' clean, 'D' dirty, 'Z' zero. */
static DirtyState
letter (char c)
{
  return c == '.' ? C : c == 'D' ? D : Z;
}

static void
check_coalesce (const char *in, guint64 coalesce, const char *expected)
{
  const gsize n = strlen (in);
  g_autoptr (DirtyMap) map =
    dirty_map_new (n * 4096, coalesce, DIRTY_MAP_MEMORY_LIMIT);
  guint64 end;
  gsize i;

  for (i = 0; i < n; ++i)
    dirty_map_append (map, 4096, letter (in[i]));
  g_assert_cmpuint (dirty_map_frontier (map), ==, n * 4096);
  for (i = 0; i < n; ++i)
    g_assert_cmpint (dirty_map_lookup (map, i * 4096, n * 4096, &end), ==,
                     letter (expected[i]));
  g_assert_true (dirty_map_is_exact (map));
}

static void
test_coalesce (void)
{
  check_coalesce ("D.D", 0, "D.D");
  check_coalesce ("D.D", 4095, "D.D");
  check_coalesce ("D.D", 4096, "DDD");
  check_coalesce ("D..D", 4096, "D..D");
  check_coalesce ("D..D", 8192, "DDDD");
  check_coalesce (".D.D.", 8192, ".DDD.");
  check_coalesce ("..Z.D..", G_MAXUINT64, "..ZDD..");
  check_coalesce ("D.Z.Z.D", 4096, "DDZ.ZDD");
  check_coalesce ("Z.Z", G_MAXUINT64, "Z.Z");
  check_coalesce ("ZD.Z.Z..Z.D", 4096, "ZDDZ.Z..ZDD");
  check_coalesce ("D..........D...........D", 10 * 4096,
                  "DDDDDDDDDDDD...........D");
  check_coalesce ("....", G_MAXUINT64, "....");
  check_coalesce ("D...", G_MAXUINT64, "D...");
}

/* A gap is held back while it might be joined, across chunks. */
static void
test_pending (void)
{
  g_autoptr (DirtyMap) map =
    dirty_map_new (8 * GiB, 2 * GiB, DIRTY_MAP_MEMORY_LIMIT);

  dirty_map_append (map, GiB, C);
  g_assert_cmpuint (dirty_map_frontier (map), ==, GiB);
  dirty_map_append (map, GiB, D);
  dirty_map_append (map, GiB, C);
  dirty_map_append (map, GiB, C);
  g_assert_cmpuint (dirty_map_appended (map), ==, 4 * GiB);
  g_assert_cmpuint (dirty_map_frontier (map), ==, 2 * GiB);
  dirty_map_append (map, 4096, D);
  g_assert_cmpuint (dirty_map_frontier (map), ==, 4 * GiB);
  check_run (map, GiB, 4 * GiB, D);
  dirty_map_append (map, 2 * GiB, C);
  dirty_map_append (map, 1, C);
  g_assert_cmpuint (dirty_map_frontier (map), >=, 6 * GiB);
  dirty_map_append (map, G_MAXUINT64, C);
  g_assert_cmpuint (dirty_map_frontier (map), ==, 8 * GiB);
  check_run (map, 0, GiB, C);
  check_run (map, GiB, 4 * GiB + 4096, D);
  check_run (map, 4 * GiB + 4096, 8 * GiB, C);
  g_assert_cmpuint (dirty_map_dirty_bytes (map), ==, GiB + 4096);
  g_assert_cmpuint (dirty_map_zero_bytes (map), ==, 0);
  g_assert_true (dirty_map_is_exact (map));
}

static void
test_edges (void)
{
  g_autoptr (DirtyMap) empty = dirty_map_new (0, 0, DIRTY_MAP_MEMORY_LIMIT);
  g_autoptr (DirtyMap) one = dirty_map_new (1, 0, 0);
  g_autoptr (DirtyMap) odd = dirty_map_new (2000, 0, DIRTY_MAP_MEMORY_LIMIT);
  guint64 end;

  dirty_map_append (empty, 1, D);
  g_assert_cmpuint (dirty_map_appended (empty), ==, 0);
  g_assert_cmpuint (dirty_map_frontier (empty), ==, 0);
  g_assert_cmpuint (dirty_map_dirty_bytes (empty), ==, 0);

  dirty_map_append (one, 0, D);
  g_assert_cmpuint (dirty_map_frontier (one), ==, 0);
  dirty_map_append (one, 5, Z);
  g_assert_cmpuint (dirty_map_appended (one), ==, 1);
  g_assert_cmpuint (dirty_map_zero_bytes (one), ==, 1);
  check_run (one, 0, 1, Z);

  /* A state there is no name for is dirty. */
  dirty_map_append (odd, 512, (DirtyState) 2);
  g_assert_true (dirty_map_is_exact (odd));
  /* Half a sector clean, half zero: dirty. */
  dirty_map_append (odd, 768, C);
  dirty_map_append (odd, 256, Z);
  dirty_map_append (odd, 464, C);
  g_assert_false (dirty_map_is_exact (odd));
  check_run (odd, 0, 512, D);
  check_run (odd, 512, 1024, C);
  check_run (odd, 1024, 1536, D);
  check_run (odd, 1536, 2000, C);
  g_assert_cmpint (dirty_map_lookup (odd, 520, 521, &end), ==, C);
  g_assert_cmpuint (end, ==, 521);
}

/* What is not known is dirty, even to those who should not have asked. */
static void
test_beyond_frontier (void)
{
  g_autoptr (DirtyMap) map =
    dirty_map_new (GiB, 0, DIRTY_MAP_MEMORY_LIMIT);
  guint64 end = 0;

  dirty_map_append (map, 4096, C);
  g_test_expect_message (NULL, G_LOG_LEVEL_CRITICAL, "*was asked for*");
  g_assert_cmpint (dirty_map_lookup (map, 0, 4096, &end), ==, D);
  g_test_assert_expected_messages ();
  g_assert_cmpuint (end, ==, 4096);
}

/* The property test. */

typedef struct {
  gsize size;
  guint8 *raw;                  /* as appended */
  guint8 *exact;                /* coalesced, and joined within sectors */
  bool joined;                  /* within any sector */
} Model;

static void
model_free (Model *model)
{
  g_free (model->raw);
  g_free (model->exact);
  g_free (model);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Model, model_free)

static void
model_finish (Model *model, guint64 coalesce)
{
  const guint8 *raw = model->raw;
  gsize i, j, k;

  model->exact = g_memdup2 (raw, model->size);
  for (i = 0; i < model->size; i = j) {
    for (j = i; j < model->size && raw[j] == C; ++j)
      ;
    if (i > 0 && j > i && j < model->size && j - i <= coalesce &&
        !(raw[i - 1] == Z && raw[j] == Z))
      memset (model->exact + i, D, j - i);
    while (j < model->size && raw[j] != C)
      ++j;
  }
  for (i = 0; i < model->size; i += 512) {
    k = MIN (i + 512, model->size);
    for (j = i + 1; j < k && model->exact[j] == model->exact[i]; ++j)
      ;
    if (j < k) {
      memset (model->exact + i, D, k - i);
      model->joined = true;
    }
  }
}

static guint64
random_up_to (guint64 n)
{
  const guint64 r = (guint64) (guint32) g_test_rand_int () << 32 |
    (guint32) g_test_rand_int ();

  return n == G_MAXUINT64 ? r : r % (n + 1);
}

/* A model and a map filled with the same random runs, each of them
 * appended in random pieces.
 */
static Model *
random_model (DirtyMap *map, gsize size, guint64 coalesce)
{
  static const guint64 units[] = { 1, 64, 512, 512, 4096, 65536 };
  const guint64 unit = units[random_up_to (G_N_ELEMENTS (units) - 1)];
  const guint64 longest = 1 + random_up_to (random_up_to (3) ? 5 : 300);
  const gsize kinds = 1 + random_up_to (2);
  Model *model = g_new0 (Model, 1);
  gsize done = 0;

  model->size = size;
  model->raw = g_malloc (size);
  while (done < size) {
    const DirtyState state = states[random_up_to (kinds) % 3];
    const gsize wanted = unit * (1 + random_up_to (longest));
    const gsize length = MIN (size - done, wanted);
    gsize left = length;

    memset (model->raw + done, state, length);
    while (left > 0) {
      const gsize part = random_up_to (1) ? left : random_up_to (left);

      dirty_map_append (map, part, state);
      left -= part;
    }
    done += length;
    g_assert_cmpuint (dirty_map_appended (map), ==, done);
    g_assert_cmpuint (dirty_map_frontier (map), <=, done);
  }
  model_finish (model, coalesce);
  return model;
}

static void
check_counts (const DirtyMap *map, const Model *model)
{
  gsize i, dirty = 0, zero = 0;

  for (i = 0; i < model->size; ++i) {
    dirty += model->raw[i] != C;
    zero += model->raw[i] == Z;
  }
  g_assert_cmpuint (dirty_map_dirty_bytes (map), ==, dirty);
  g_assert_cmpuint (dirty_map_zero_bytes (map), ==, zero);
  g_assert_cmpuint (dirty_map_frontier (map), ==, model->size);
}

/* Walk the whole map.  Whatever the limit: exact if it says so, sound in
 * any case, and in maximal runs.  Returns what the map says.
 */
static guint8 *
walk (const DirtyMap *map, const Model *model, bool roomy)
{
  guint8 *said = g_malloc (model->size);
  guint64 offset, end, i;
  int before = -1;

  for (offset = 0; offset < model->size; offset = end) {
    const DirtyState state = dirty_map_lookup (map, offset, model->size, &end);

    g_assert_cmpuint (end, >, offset);
    g_assert_cmpuint (end, <=, model->size);
    g_assert_cmpint (state, !=, before);
    before = state;
    memset (said + offset, state, end - offset);
    for (i = offset; i < end; ++i) {
      if (model->exact[i] != C)
        g_assert_cmpint (state, !=, C);
      if (state == Z)
        g_assert_cmpint (model->raw[i], ==, Z);
    }
  }
  if (roomy || dirty_map_is_exact (map))
    g_assert_true (model->size == 0 ||
                   memcmp (said, model->exact, model->size) == 0);
  if (roomy)
    g_assert_cmpint (dirty_map_is_exact (map), ==, !model->joined);
  return said;
}

static void
check_lookups (const DirtyMap *map, const guint8 *said, gsize size)
{
  guint64 offset, limit, end;
  gsize i, n;

  for (i = 0; i < 50 && size > 0; ++i) {
    offset = random_up_to (size - 1);
    limit = offset + 1 + random_up_to (size - offset - 1);
    g_assert_cmpint (dirty_map_lookup (map, offset, limit, &end), ==,
                     said[offset]);
    for (n = offset; n < limit && said[n] == said[offset]; ++n)
      ;
    g_assert_cmpuint (end, ==, n);
  }
}

typedef struct {
  const guint8 *said;
  guint64 base, next, end;
  guint left;                   /* visits before it has enough */
  int before;
} Visited;

static bool
visit (void *opaque, guint64 offset, guint64 length, DirtyState state)
{
  Visited *visited = opaque;

  g_assert_cmpuint (offset, ==, visited->next);
  g_assert_cmpuint (length, >, 0);
  g_assert_cmpuint (length, <=, visited->end - offset);
  g_assert_cmpint (state, !=, visited->before);
  for (guint64 i = offset; i < offset + length; ++i)
    g_assert_cmpint (visited->said[i - visited->base], ==, state);
  visited->next += length;
  visited->before = state;
  return --visited->left > 0;
}

/* From anywhere, in two pieces, where it may end at any run. */
static void
check_walk (const DirtyMap *map, const guint8 *said, gsize size)
{
  const guint64 base = random_up_to (1) ? 0 : random_up_to (G_MAXUINT32);
  const guint64 offset = base + random_up_to (size - 1);
  const guint64 limit = offset + random_up_to (base + size - offset);
  const guint64 middle = offset + random_up_to (limit - offset);
  Visited visited = { said, base, offset, limit, G_MAXUINT, -1 };
  DirtyRun run = { 0 };

  g_assert_true (dirty_map_walk (map, base, offset, middle, &run, visit,
                                 &visited));
  g_assert_true (dirty_map_walk (map, base, middle, limit, &run, visit,
                                 &visited));
  g_assert_true (dirty_run_end (&run, limit, visit, &visited));
  g_assert_cmpuint (visited.next, ==, limit);

  Visited stopped = { said, base, offset, limit,
                      1 + random_up_to (3), -1 };
  run = (DirtyRun) { 0 };
  if (!dirty_map_walk (map, base, offset, limit, &run, visit, &stopped))
    g_assert_cmpuint (stopped.left, ==, 0);
}

static void
one_property (bool roomy)
{
  const guint span_shift = roomy && random_up_to (3) == 0 ? 29 :
    9 + random_up_to (random_up_to (1) ? 4 : 11);
  const guint64 align = random_up_to (1) ? 1 : 512;
  const guint64 most = (1 + random_up_to (30)) << span_shift;
  const gsize size = random_up_to (MIN (most, 256 * KiB)) / align * align;
  const guint64 coalesce = random_up_to (2) == 0 ? 0 :
    random_up_to (10) == 0 ? G_MAXUINT64 :
    random_up_to (1) ? random_up_to (8 * KiB) : 512 * random_up_to (300);
  const gsize limit = roomy ? DIRTY_MAP_MEMORY_LIMIT : random_up_to (4000);
  g_autoptr (DirtyMap) map =
    dirty_map_new_with_span (size, coalesce, limit, span_shift);
  const gsize fixed = dirty_map_memory (map);
  g_autoptr (Model) model = random_model (map, size, coalesce);
  g_autofree guint8 *said = NULL;

  check_counts (map, model);
  g_assert_cmpuint (dirty_map_memory (map), <=, fixed + limit);
  said = walk (map, model, roomy);
  check_lookups (map, said, size);
  for (guint i = 0; i < 10 && size > 0; i++)
    check_walk (map, said, size);
}

static void
test_property (void)
{
  const int rounds = g_test_slow () ? 100000 : 3000;
  int i;

  for (i = 0; i < rounds; ++i)
    one_property (true);
}

static void
test_property_reduced (void)
{
  const int rounds = g_test_slow () ? 100000 : 3000;
  int i;

  for (i = 0; i < rounds; ++i)
    one_property (false);
}

/* Large disks: a repeated pattern of blocks is appended, and the map is
 * walked next to the pattern.
 */

typedef struct {
  guint64 size, block;
  const char *pattern;          /* one letter per block, repeated */
  guint64 blocks;               /* appended so; the rest is clean */
} Load;

static DirtyState
load_at (const Load *load, guint64 offset)
{
  const guint64 i = offset / load->block;

  if (i >= load->blocks)
    return C;
  return letter (load->pattern[i % strlen (load->pattern)]);
}

/* Returns the most memory the map took at any time. */
static gsize
fill (DirtyMap *map, const Load *load)
{
  const gsize n = strlen (load->pattern);
  gsize most = 0, at = 0;
  guint64 i;

  for (i = 0; i < load->blocks; ++i) {
    dirty_map_append (map, load->block, letter (load->pattern[at]));
    if (++at == n)
      at = 0;
    if (i % 1024 == 0)
      most = MAX (most, dirty_map_memory (map));
  }
  dirty_map_append (map, G_MAXUINT64, C);
  g_assert_cmpuint (dirty_map_appended (map), ==, load->size);
  g_assert_cmpuint (dirty_map_frontier (map), ==, load->size);
  return MAX (most, dirty_map_memory (map));
}

/* Check start .. limit - 1.  Returns how many of those bytes are dirty or
 * clean exactly as they should be.
 */
static guint64
check_window (const DirtyMap *map, const Load *load, guint64 start,
              guint64 limit)
{
  guint64 offset, end, at, stop, right = 0;

  for (offset = start; offset < limit; offset = end) {
    const DirtyState state = dirty_map_lookup (map, offset, limit, &end);

    g_assert_cmpuint (end, >, offset);
    for (at = offset; at < end; at = stop) {
      const DirtyState is = load_at (load, at);

      stop = at / load->block < load->blocks ?
        MIN (end, at - at % load->block + load->block) : end;
      if (is != C)
        g_assert_cmpint (state, !=, C);
      if (state == Z)
        g_assert_cmpint (is, ==, Z);
      if ((is == C) == (state == C))
        right += stop - at;
    }
  }
  return right;
}

static guint64
check_load (const DirtyMap *map, const Load *load)
{
  return check_window (map, load, 0, load->size);
}

/* The same for a map which must be right about what is clean, and too
 * large to be walked in each run of the tests: around each multiple of
 * 1 GiB, where chunks begin and end.
 */
static void
check_right (const DirtyMap *map, const Load *load)
{
  guint64 at;

  if (g_test_slow ())
    g_assert_cmpuint (check_load (map, load), ==, load->size);
  for (at = GiB; at < load->size; at += GiB)
    g_assert_cmpuint (check_window (map, load, at - 3 * MiB, at + 2 * MiB), ==,
                      5 * MiB);
}

static void
test_16t (void)
{
  const Load load = { 16 * TiB, 64 * KiB, ".D", 16 * TiB / (64 * KiB) };
  g_autoptr (DirtyMap) map = dirty_map_new (load.size, 0,
                                            DIRTY_MAP_MEMORY_LIMIT);

  g_assert_cmpuint (fill (map, &load), <=, 64 * MiB);
  g_assert_true (dirty_map_is_exact (map));
  check_right (map, &load);
  g_assert_cmpuint (dirty_map_dirty_bytes (map), ==, load.size / 2);
}

/* Three states do not fit, but what is clean does not suffer. */
static void
test_16t_zero (void)
{
  const Load load = { 16 * TiB, 64 * KiB, ".DZ.Z", 16 * TiB / (64 * KiB) };
  g_autoptr (DirtyMap) map = dirty_map_new (load.size, 0,
                                            DIRTY_MAP_MEMORY_LIMIT);
  guint64 end;

  g_assert_cmpuint (fill (map, &load), <=, 64 * MiB);
  g_assert_false (dirty_map_is_exact (map));
  check_right (map, &load);
  g_assert_cmpint (dirty_map_lookup (map, 2 * load.block, load.size, &end),
                   ==, Z);
}

static void
test_1p (void)
{
  const Load load = { PiB, 64 * MiB, "D..Z.D", PiB / (64 * MiB) };
  const Load fine = { PiB, 64 * KiB, "D.", 40 * MiB };
  g_autoptr (DirtyMap) map = dirty_map_new (PiB, 0, DIRTY_MAP_MEMORY_LIMIT);
  g_autoptr (DirtyMap) other = dirty_map_new (PiB, 0, DIRTY_MAP_MEMORY_LIMIT);

  g_assert_cmpuint (fill (map, &load), <=, 64 * MiB);
  g_assert_true (dirty_map_is_exact (map));
  g_assert_cmpuint (check_load (map, &load), ==, load.size);

  g_assert_cmpuint (fill (other, &fine), <=, 64 * MiB);
  check_load (other, &fine);
}

static void
test_huge (void)
{
  static const guint64 sizes[] = {
    (G_GUINT64_CONSTANT (1) << 63) - 1 - 512,
    (G_GUINT64_CONSTANT (1) << 63) - 1,
    G_MAXUINT64,
  };
  gsize i;

  for (i = 0; i < G_N_ELEMENTS (sizes); ++i) {
    const Load load = { sizes[i], 1000 * GiB + 12345, ".DZ.D",
                        sizes[i] / (1000 * GiB + 12345) };
    const Load tiny = { sizes[i], 512, "DD.", 3 * MiB };
    g_autoptr (DirtyMap) map =
      dirty_map_new (sizes[i], 0, DIRTY_MAP_MEMORY_LIMIT);
    g_autoptr (DirtyMap) other =
      dirty_map_new (sizes[i], 7, DIRTY_MAP_MEMORY_LIMIT);

    g_assert_cmpuint (fill (map, &load), <=, 64 * MiB);
    g_assert_cmpuint (check_load (map, &load), >, sizes[i] / 100 * 99);
    g_assert_cmpuint (fill (other, &tiny), <=, 64 * MiB);
    check_load (other, &tiny);
    check_run (other, 2 * GiB, sizes[i], C);
  }
}

/* More runs than staging holds, in one chunk. */
static void
test_staging_overflow (void)
{
  const Load load = { 16 * TiB, 512, "D.ZD..", 4 * MiB };
  g_autoptr (DirtyMap) map = dirty_map_new (load.size, 0,
                                            DIRTY_MAP_MEMORY_LIMIT);

  g_assert_cmpuint (fill (map, &load), <=, 64 * MiB);
  g_assert_false (dirty_map_is_exact (map));
  check_load (map, &load);
  check_run (map, 2 * GiB, load.size, C);
}

/* Up to 8 TiB nothing overflows: 512-byte sectors are kept. */
static void
test_sectors (void)
{
  const Load load = { 8 * TiB, 512, "D.", 2 * MiB };
  g_autoptr (DirtyMap) map = dirty_map_new (load.size, 0,
                                            DIRTY_MAP_MEMORY_LIMIT);

  g_assert_cmpuint (fill (map, &load), <=, 64 * MiB);
  g_assert_true (dirty_map_is_exact (map));
  g_assert_cmpuint (check_load (map, &load), ==, load.size);
}

/* Random runs in chunks of the real size: long ones, which cross chunks,
 * and bursts of sectors, which make planes large enough for the look-up
 * to need all of their summary.
 */

typedef struct {
  guint64 end;
  DirtyState state;
} Run;

static GArray *
random_runs (DirtyMap *map, guint64 size)
{
  GArray *runs = g_array_new (FALSE, FALSE, sizeof (Run));
  guint64 done = 0, burst = 0;

  while (done < size) {
    guint64 length = 512 * (1 + random_up_to (random_up_to (30) ? 4000 :
                                              4000000));
    Run run = { 0, states[random_up_to (2)] };

    if (burst > 0) {
      length = 512;
      burst--;
    }
    else if (random_up_to (300) == 0)
      burst = random_up_to (100000);
    dirty_map_append (map, length, run.state);
    done = MIN (size, done + length);
    if (runs->len > 0 &&
        g_array_index (runs, Run, runs->len - 1).state == run.state)
      g_array_set_size (runs, runs->len - 1);
    run.end = done;
    g_array_append_val (runs, run);
  }
  return runs;
}

static void
test_real_chunks (void)
{
  int round;

  for (round = 0; round < 30; ++round) {
    const bool roomy = random_up_to (1);
    const guint64 size = 1 + random_up_to (10 * GiB);
    const gsize limit = roomy ? DIRTY_MAP_MEMORY_LIMIT :
      random_up_to (random_up_to (1) ? 20000 : MiB);
    g_autoptr (DirtyMap) map = dirty_map_new (size, 0, limit);
    const gsize fixed = dirty_map_memory (map);
    g_autoptr (GArray) runs = random_runs (map, size);
    guint64 offset = 0, end;
    guint i;

    g_assert_cmpuint (dirty_map_memory (map), <=, fixed + limit);
    if (roomy)
      g_assert_true (dirty_map_is_exact (map));
    for (i = 0; i < runs->len; ++i) {
      const Run *is = &g_array_index (runs, Run, i);

      for (; offset < is->end; offset = end) {
        const DirtyState state =
          dirty_map_lookup (map, offset, roomy ? size : is->end, &end);

        g_assert_cmpuint (end, >, offset);
        g_assert_false (state == C && is->state != C);
        g_assert_false (state == Z && is->state != Z);
        if (roomy) {
          g_assert_cmpint (state, ==, is->state);
          g_assert_cmpuint (end, ==, is->end);
        }
      }
    }
  }
}

/* Readers follow the frontier while the writer is at work. */

typedef struct {
  DirtyMap *map;
  const Load *load;
} Follow;

static gpointer
follow (gpointer data)
{
  const Follow *f = data;
  guint64 offset = 0, frontier, end;

  while (offset < f->load->size) {
    frontier = dirty_map_frontier (f->map);
    g_assert_cmpuint (frontier, >=, offset);
    g_assert_cmpuint (dirty_map_memory (f->map), >, 0);
    if (frontier == offset) {
      g_thread_yield ();
      continue;
    }
    for (; offset < frontier; offset = end) {
      g_assert_cmpint (dirty_map_lookup (f->map, offset, frontier, &end), ==,
                       load_at (f->load, offset));
      g_assert_cmpuint (end, >, offset);
    }
    g_assert_cmpuint (dirty_map_dirty_bytes (f->map), >=,
                      dirty_map_zero_bytes (f->map));
    dirty_map_is_exact (f->map);
  }
  return NULL;
}

static void
test_threads (void)
{
  const Load load = { 96 * GiB + 77, 64 * KiB, ".DZ..D",
                      64 * GiB / (64 * KiB) };
  g_autoptr (DirtyMap) map = dirty_map_new (load.size, 0,
                                            DIRTY_MAP_MEMORY_LIMIT);
  Follow f = { map, &load };
  GThread *readers[3];
  gsize i;

  for (i = 0; i < G_N_ELEMENTS (readers); ++i)
    readers[i] = g_thread_new ("reader", follow, &f);
  fill (map, &load);
  for (i = 0; i < G_N_ELEMENTS (readers); ++i)
    g_thread_join (readers[i]);
  g_assert_true (dirty_map_is_exact (map));
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/dirty-map/coalesce", test_coalesce);
  g_test_add_func ("/dirty-map/pending", test_pending);
  g_test_add_func ("/dirty-map/edges", test_edges);
  g_test_add_func ("/dirty-map/beyond-frontier", test_beyond_frontier);
  g_test_add_func ("/dirty-map/property", test_property);
  g_test_add_func ("/dirty-map/property-reduced", test_property_reduced);
  g_test_add_func ("/dirty-map/real-chunks", test_real_chunks);
  g_test_add_func ("/dirty-map/threads", test_threads);
  g_test_add_func ("/dirty-map/sectors", test_sectors);
  g_test_add_func ("/dirty-map/staging-overflow", test_staging_overflow);
  g_test_add_func ("/dirty-map/16t", test_16t);
  g_test_add_func ("/dirty-map/16t-zero", test_16t_zero);
  g_test_add_func ("/dirty-map/1p", test_1p);
  g_test_add_func ("/dirty-map/huge", test_huge);
  return g_test_run ();
}
