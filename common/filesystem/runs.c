/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <string.h>

#include "filesystem/runs.h"

GArray *
runs_new (void)
{
  return g_array_new (FALSE, FALSE, sizeof (Run));
}

void
runs_append (GArray *runs, guint64 start, guint64 end)
{
  const Run run = { start, end };
  Run *last = runs->len > 0 ? &g_array_index (runs, Run, runs->len - 1) : NULL;

  if (start >= end)
    return;
  if (last && last->end == start)
    last->end = end;
  else
    g_array_append_val (runs, run);
}

guint64
runs_total (const Run *runs, gsize count)
{
  guint64 total = 0;

  for (gsize i = 0; i < count; i++)
    total += runs[i].end - runs[i].start;
  return total;
}

gsize
runs_find (const Run *runs, gsize count, guint64 offset)
{
  gsize low = 0, high = count;

  while (low < high) {
    const gsize middle = low + (high - low) / 2;
    if (runs[middle].end > offset)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

void
runs_take (GArray *from, guint64 start, guint64 end, GArray *taken)
{
  const guint first = runs_find ((const Run *) from->data, from->len, start);
  Run left[2];
  guint kept = 0, last = first;

  for (; last < from->len; last++) {
    const Run run = g_array_index (from, Run, last);
    if (run.start >= end)
      break;
    const Run part = { MAX (run.start, start), MIN (run.end, end) };
    if (run.start < part.start)
      left[kept++] = (Run) { run.start, part.start };
    if (run.end > part.end)
      left[kept++] = (Run) { part.end, run.end };
    g_array_append_val (taken, part);
  }
  if (last == first)
    return;
  g_array_remove_range (from, first, last - first);
  g_array_insert_vals (from, first, left, kept);
}

static int
compare (const void *a, const void *b)
{
  const Run *first = a, *second = b;

  return first->start < second->start ? -1 : first->start > second->start;
}

void
runs_sort (GArray *runs)
{
  guint count = 0;

  g_array_sort (runs, compare);
  for (guint i = 0; i < runs->len; i++) {
    const Run run = g_array_index (runs, Run, i);
    Run *last = count > 0 ? &g_array_index (runs, Run, count - 1) : NULL;
    if (last && last->end == run.start)
      last->end = run.end;
    else
      g_array_index (runs, Run, count++) = run;
  }
  g_array_set_size (runs, count);
}
