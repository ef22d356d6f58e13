/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What forest.c and forest-change.c share.
 */
#pragma once

#include "tree/forest.h"

struct Forest {
  GHashTable *by_name;          /* Checkpoint.name -> Checkpoint */
  GPtrArray *added;             /* owns the checkpoints */
  GPtrArray *all;               /* in topological order */
  GPtrArray *problems;
  guint roots;
  guint leaves;
};
