/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A guest that writes, has snapshots, checkpoints and mishaps, and the truth that
 * every view of it must contain.  64 blocks, a bit each.
 */
#pragma once

#include "parts-models.h"

#define CHECKPOINTS 6

typedef struct {
  bool exists, recording, inconsistent;
  guint64 bits;
} SimBitmap;

typedef struct {
  guint64 allocated;
  SimBitmap bitmaps[CHECKPOINTS];
} SimLayer;

typedef struct {
  bool made, covers;
  int parent;                   /* -1: a root */
  guint64 written;              /* the truth: since it was made */
} SimCheckpoint;

typedef struct {
  SimLayer layers[MOST_LAYERS]; /* the oldest first */
  guint n_layers;
  SimCheckpoint checkpoints[CHECKPOINTS];
  guint n_checkpoints;          /* made so far, deleted ones included */
  int current;
  bool legacy;                  /* libvirt before 6.5 */
  bool mishaps;                 /* there may be reasons to refuse */
  bool exact;                   /* no layer has gaps */
  GString *story;
} Sim;

bool one_in (int n);

SimLayer *sim_top (Sim *sim);

/* The lowest layer that has a checkpoint's bitmap, or -1. */
int sim_lowest (const Sim *sim, int checkpoint);

/* What can happen. */
void sim_write (Sim *sim);
void sim_checkpoint (Sim *sim);
void sim_snapshot (Sim *sim);
void sim_crash (Sim *sim);
/* By hand: out of one layer, but not the lowest, or out of all. */
void sim_remove (Sim *sim);
/* By hand, in the top layer, over one that lacks it as well. */
void sim_add_again (Sim *sim);

/* As they are found: with branched, some checkpoint is not where it was made. */
Forest *sim_forest (const Sim *sim, bool branched);
Disk *sim_disk (const Sim *sim);

/* What a client that unites the parts sees. */
guint64 sim_dirty (const Sim *sim, const GPtrArray *parts);
