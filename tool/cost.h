/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What a backup of a view costs: how much is read, and about how large the qcow2
 * file gets that "qemu-img convert" makes of it, with its clusters of 64 KiB.
 */
#pragma once

#include "tool/progress.h"
#include "view/open-view.h"

#define COST_CLUSTER 65536

typedef struct {
  bool is_whole;                /* no increment, but the disk itself */
  guint64 dirty;                /* bytes, */
  guint64 data;                 /* of which hold data, */
  guint64 zeroes;               /* and read as zeroes */
  guint64 runs;                 /* stretches that are dirty */
  bool exact;                   /* false: all these are upper bounds */
  guint64 clusters;             /* that are copied, as something in them is */
  guint64 tables;               /* bytes of the file that hold no clusters */
  guint sampled;                /* clusters that were read */
  bool is_sampled;              /* so the two are known: */
  double filled;                /* share of clusters that hold more than
                                 * zeroes */
  double shrinks;               /* bytes that remain of each one's, with
                                 * convert -c */
} Cost;

/* Read the view's map, and count. */
bool cost_count (Cost *cost, OpenView *view, bool is_whole, Progress *progress,
                 GError **error);

/* Read at most so many clusters, chosen by that seed, and compress them. */
bool cost_sample (Cost *cost, OpenView *view, guint most, guint64 seed,
                  Progress *progress, GError **error);

/* About how long the file gets; compressed only if is_sampled. */
guint64 cost_plain (const Cost *cost);
guint64 cost_compressed (const Cost *cost);
