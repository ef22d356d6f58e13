/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Does a backup hold what the disk holds?  Both are read in one pass, by several
 * threads, where neither is known to read as zeroes.
 */
#pragma once

#include "view/compare-walk.h"
#include "view/tally.h"

typedef struct {
  CompareViews views;
  double share;                 /* of clean blocks; 1: all of them */
  guint64 seed;                 /* of the sample (sample.h) */
  /* So many more bytes are compared, or about to be, or need not be.  NULL is
   * fine.  Calling thread.
   */
  void (*progress) (void *opaque, guint64 bytes);
  void *opaque;
} CompareRequest;

typedef struct {
  guint64 bytes;                /* of this class */
  guint64 compared;             /* of them: read, or known to be zeroes on both
                                 * sides */
  Tally differing;              /* by sectors of 512 bytes */
} Compared;

typedef struct {
  Compared classes[COMPARE_CLASSES];
  guint64 blocks, sampled;      /* clean ones that are not zeroes on both sides, of
                                 * SAMPLE_BLOCK bytes, or what of one is clean;
                                 * how many were read.  0: all were compared */
} CompareResult;

void compare_result_clear (CompareResult *result);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CompareResult, compare_result_clear)

/* Compare all that is dirty, and of what is clean the share.  result: to be
 * cleared, whatever is returned.  False with an error: one side could not be
 * read, and result is of no use.
 */
bool compare_run (const CompareRequest *request, CompareResult *result,
                  GError **error);
