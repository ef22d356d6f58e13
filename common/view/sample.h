/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A random sample of a disk's blocks, and what it is worth.  Each block is taken
 * by itself, with the same chance, whatever becomes of the others: so nobody
 * needs to know how many there are, and the same seed takes the same blocks, in
 * whatever order they are asked for.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

/* Bytes.  Larger than most bitmaps' granularity is of no use, and smaller ones
 * are more reads.
 */
#define SAMPLE_BLOCK 65536

/* Is the block of that index taken?  share: the chance, from 0 to 1 (all are).
 */
bool sample_takes (guint64 seed, double share, guint64 block);

/* Of so many blocks, some were taken; with what chance would at least one of
 * wrong ones have been among them?  Exactly
 *
 *   1 - C(blocks - wrong, taken) / C(blocks, taken)
 *
 * since each set of that many blocks is as likely as any other.  wrong is at
 * most blocks, and so is taken.
 */
double sample_odds (guint64 blocks, guint64 taken, guint64 wrong);
