/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What a job's scratch files take: told to the server as it changes, with a warning
 * when they run short.
 */
#pragma once

#include "keeper/telling.h"

typedef struct {
  guint64 room;                 /* bytes left for them when the job began */
  guint64 told;                 /* what was said that they take */
  guint warned;                 /* how often that they run short */
} ScratchWatch;

/* used, left: bytes now.  folder: where the least is left. */
void scratch_watch_tell (ScratchWatch *watch, Telling *telling, guint64 used,
                         guint64 left, const char *folder);
