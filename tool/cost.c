/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The map is walked twice: which clusters are to be read is chosen among those that
 * are copied, and how many they are is known only after the first time.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "base/error.h"
#include "tool/cost.h"
#include "tool/quit.h"

/* Of qcow2 with clusters of 64 KiB: what one table of the second level is of, how
 * many clusters a block of reference counts is of, and a table's entry.
 */
#define L2_CLUSTERS (COST_CLUSTER / 8)
#define REFCOUNT_CLUSTERS (COST_CLUSTER / 2)
#define L1_ENTRY 8
/* As QEMU compresses (block/qcow2-threads.c). */
#define WINDOW_BITS (-12)
#define MEMORY_LEVEL 9

/* The clusters of a map in ascending order. */
typedef struct {
  guint64 size;
  guint64 cluster;              /* that is not told of yet, as more may come of
                                 * it; of it */
  guint64 data, zeroes;         /* so many bytes are dirty: 0: there is none */
  /* So many clusters from there on are copied. */
  void (*copied) (void *opaque, guint64 first, guint64 count);
  /* The same of those that are marked as zeroes; or NULL. */
  void (*zeroed) (void *opaque, guint64 first, guint64 count);
  void *opaque;
} Clusters;

/* Zeroes that do not fill a cluster are written into what was there before. */
static void
clusters_flush (Clusters *self)
{
  const guint64 begin = self->cluster * COST_CLUSTER;
  const bool is_zero = self->data == 0
    && self->zeroes == MIN (COST_CLUSTER, self->size - begin);

  if (self->data + self->zeroes == 0)
    return;
  if (!is_zero)
    self->copied (self->opaque, self->cluster, 1);
  else if (self->zeroed)
    self->zeroed (self->opaque, self->cluster, 1);
  self->data = self->zeroes = 0;
}

static void
add_to_one (Clusters *self, guint64 cluster, guint64 length, bool zero)
{
  if (cluster != self->cluster)
    clusters_flush (self);
  self->cluster = cluster;
  *(zero ? &self->zeroes : &self->data) += length;
}

/* A DirtyMapVisit. */
static bool
visit_clusters (void *opaque, guint64 offset, guint64 length, DirtyState state)
{
  Clusters *self = opaque;
  const bool zero = state == DIRTY_MAP_ZERO;
  const guint64 end = offset + length;

  if (state == DIRTY_MAP_CLEAN)
    return !quit_told ();
  while (offset < end) {
    const guint64 cluster = offset / COST_CLUSTER;
    const guint64 whole = offset % COST_CLUSTER ? 0
      : (end - offset) / COST_CLUSTER;
    if (whole == 0) {
      const guint64 next = MIN (end, (cluster + 1) * COST_CLUSTER);
      add_to_one (self, cluster, next - offset, zero);
      offset = next;
      continue;
    }
    clusters_flush (self);
    if (!zero)
      self->copied (self->opaque, cluster, whole);
    else if (self->zeroed)
      self->zeroed (self->opaque, cluster, whole);
    offset += whole * COST_CLUSTER;
  }
  return !quit_told ();
}

/* ── Counting ── */

typedef struct {
  Cost *cost;
  Clusters clusters;
  guint64 l2_tables;
  guint64 l2_known;             /* those before this one are counted */
  bool in_run;
} Count;

/* Clusters that have entries in tables. */
static void
count_entries (void *opaque, guint64 first, guint64 number)
{
  Count *count = opaque;
  const guint64 begin = MAX (first / L2_CLUSTERS, count->l2_known);
  const guint64 end = (first + number - 1) / L2_CLUSTERS + 1;

  if (end > begin)
    count->l2_tables += end - begin;
  count->l2_known = MAX (count->l2_known, end);
}

static void
count_copied (void *opaque, guint64 first, guint64 number)
{
  Count *count = opaque;

  count->cost->clusters += number;
  count_entries (count, first, number);
}

static bool
count_run (void *opaque, guint64 offset, guint64 length, DirtyState state)
{
  Count *count = opaque;
  Cost *cost = count->cost;

  if (state != DIRTY_MAP_CLEAN && !count->in_run)
    cost->runs++;
  count->in_run = state != DIRTY_MAP_CLEAN;
  if (state == DIRTY_MAP_ZERO)
    cost->zeroes += length;
  else if (state == DIRTY_MAP_DIRTY)
    cost->data += length;
  return visit_clusters (&count->clusters, offset, length, state);
}

static guint64
clusters_for (guint64 number, guint64 each)
{
  return number / each + (number % each ? 1 : 0);
}

/* error: why reading stopped; not set if we were told to end. */
static bool
stopped (GError **error)
{
  return !error || *error ? false
    : error_set (error, EINTR, "interrupted");
}

bool
cost_count (Cost *cost, OpenView *view, bool is_whole, Progress *progress,
            GError **error)
{
  ProgressPart part = { progress, 0 };
  const guint64 size = open_view_size (view);
  Count count = { .cost = cost, .clusters = {
    .size = size, .copied = count_copied,
    .zeroed = is_whole ? NULL : count_entries } };

  *cost = (Cost) { .is_whole = is_whole };
  count.clusters.opaque = &count;
  if (!open_view_learn (view, progress_reach, &part, error))
    return false;
  if (!open_view_visit (view, 0, size, count_run, &count, error))
    return stopped (error);
  clusters_flush (&count.clusters);
  cost->dirty = cost->data + cost->zeroes;
  cost->exact = open_view_is_exact (view);
  const guint64 l1 = clusters_for (clusters_for (size, COST_CLUSTER),
                                   L2_CLUSTERS) * L1_ENTRY;
  /* The header, and one table of blocks of reference counts, besides. */
  cost->tables = 2 + clusters_for (l1, COST_CLUSTER) + count.l2_tables;
  cost->tables *= COST_CLUSTER;
  return true;
}

/* ── Sampling ── */

typedef struct {
  GArray *chosen;               /* of guint64: numbers of clusters among those
                                 * that are copied, ascending; each is then
                                 * replaced by its place on the disk */
  guint next;                   /* of those, to be looked for */
  guint64 seen;
} Sample;

static int
compare (const void *a, const void *b)
{
  const guint64 first = *(const guint64 *) a, second = *(const guint64 *) b;

  return first < second ? -1 : first > second;
}

static guint64
random_below (GRand *random, guint64 limit)
{
  const guint64 high = g_rand_int (random);

  return (high << 32 | g_rand_int (random)) % limit;
}

static bool
is_among (const GArray *numbers, guint64 number)
{
  for (guint i = 0; i < numbers->len; i++)
    if (g_array_index (numbers, guint64, i) == number)
      return true;
  return false;
}

/* R. Floyd's way to choose some of many, each set as likely as any other. */
static GArray *
choose (guint64 of, guint most, guint64 seed)
{
  const guint32 words[] = { (guint32) seed, (guint32) (seed >> 32) };
  const guint64 number = MIN (of, most);
  GArray *chosen = g_array_new (FALSE, FALSE, sizeof (guint64));
  GRand *random = g_rand_new_with_seed_array (words, G_N_ELEMENTS (words));

  for (guint64 last = of - number; last < of; last++) {
    guint64 one = random_below (random, last + 1);
    if (is_among (chosen, one))
      one = last;
    g_array_append_val (chosen, one);
  }
  g_rand_free (random);
  g_array_sort (chosen, compare);
  return chosen;
}

static void
find_chosen (void *opaque, guint64 first, guint64 number)
{
  Sample *sample = opaque;

  while (sample->next < sample->chosen->len) {
    guint64 *one = &g_array_index (sample->chosen, guint64, sample->next);
    if (*one >= sample->seen + number)
      break;
    *one = first + (*one - sample->seen);
    sample->next++;
  }
  sample->seen += number;
}

static bool
is_zero (const guint8 *bytes, gsize length)
{
  return bytes[0] == 0 && memcmp (bytes, bytes + 1, length - 1) == 0;
}

/* How many bytes qemu-img convert -c stores for them. */
static gsize
stored (const guint8 *bytes, gsize length)
{
  guint8 packed[COST_CLUSTER];
  z_stream stream = { .next_in = (Bytef *) bytes, .avail_in = (uInt) length,
                      .next_out = packed, .avail_out = COST_CLUSTER - 1 };

  if (deflateInit2 (&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_BITS,
                    MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
    return COST_CLUSTER;
  const bool fits = deflate (&stream, Z_FINISH) == Z_STREAM_END;
  const gsize size = COST_CLUSTER - 1 - stream.avail_out;
  deflateEnd (&stream);
  return fits ? size : COST_CLUSTER;
}

static bool
read_chosen (Cost *cost, OpenView *view, const GArray *chosen,
             Progress *progress, GError **error)
{
  g_autofree guint8 *bytes = g_malloc (COST_CLUSTER);
  const guint64 size = open_view_size (view);
  guint64 filled = 0, remains = 0;

  for (guint i = 0; i < chosen->len; i++) {
    const guint64 offset
      = g_array_index (chosen, guint64, i) * COST_CLUSTER;
    const gsize length = MIN (COST_CLUSTER, size - offset);
    if (quit_told ())
      return stopped (error);
    if (!open_view_read (view, bytes, (guint32) length, offset, error))
      return false;
    progress_add (progress, COST_CLUSTER);
    if (is_zero (bytes, length))
      continue;
    filled++;
    memset (bytes + length, 0, COST_CLUSTER - length);
    remains += stored (bytes, COST_CLUSTER);
  }
  cost->sampled = chosen->len;
  cost->is_sampled = true;
  if (chosen->len == 0)
    return true;
  cost->filled = (double) filled / chosen->len;
  cost->shrinks = (double) remains / chosen->len;
  return true;
}

bool
cost_sample (Cost *cost, OpenView *view, guint most, guint64 seed,
             Progress *progress, GError **error)
{
  g_autoptr (GArray) chosen = choose (cost->clusters, most, seed);
  Sample sample = { .chosen = chosen };
  Clusters clusters = { .size = open_view_size (view), .copied = find_chosen,
                        .opaque = &sample };

  if (!open_view_visit (view, 0, clusters.size, visit_clusters, &clusters,
                        error))
    return stopped (error);
  clusters_flush (&clusters);
  progress_add (progress, (most - chosen->len) * COST_CLUSTER);
  return read_chosen (cost, view, chosen, progress, error);
}

/* ── What comes of it ── */

/* Blocks of reference counts are of themselves, too. */
static guint64
file_length (const Cost *cost, double bytes)
{
  const guint64 clusters = clusters_for ((guint64) bytes, COST_CLUSTER)
    + cost->tables / COST_CLUSTER;

  return (clusters + clusters_for (clusters, REFCOUNT_CLUSTERS - 1))
    * COST_CLUSTER;
}

guint64
cost_plain (const Cost *cost)
{
  return file_length (cost, (double) cost->clusters * COST_CLUSTER
                      * (cost->is_sampled ? cost->filled : 1));
}

guint64
cost_compressed (const Cost *cost)
{
  return file_length (cost, (double) cost->clusters * cost->shrinks);
}
