/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * All runs of a dirty map in order, in a few nanoseconds each: who looks each of
 * them up takes ten times that.
 */
#pragma once

#include "map/dirty-map.h"

/* The next bytes are in this state.  False: that is enough. */
typedef bool (*DirtyMapVisit) (void *opaque, guint64 offset, guint64 length,
                               DirtyState state);

/* The run that is not visited yet, as it may go on; begins as { 0 }. */
typedef struct {
  guint64 offset;
  DirtyState state;
  bool begun;
} DirtyRun;

/* From offset on, the bytes are in this state: what came before is visited if that
 * was another.  False as visit.
 */
static inline bool
dirty_run_go_on (DirtyRun *run, guint64 offset, DirtyState state,
                 DirtyMapVisit visit, void *opaque)
{
  if (run->begun && state == run->state)
    return true;
  if (run->begun
      && !visit (opaque, run->offset, offset - run->offset, run->state))
    return false;
  *run = (DirtyRun) { .offset = offset, .state = state, .begun = true };
  return true;
}

/* No more follows, and the last run ends there. */
static inline bool
dirty_run_end (DirtyRun *run, guint64 end, DirtyMapVisit visit, void *opaque)
{
  return !run->begun
    || visit (opaque, run->offset, end - run->offset, run->state);
}

/* Go on with *run from offset to limit, both from base on as visit is told them:
 * base is where the map begins.  base <= offset <= limit <= base +
 * dirty_map_frontier () is required; else all of it counts as dirty, as in
 * dirty_map_lookup.  Any thread.
 */
bool dirty_map_walk (const DirtyMap *map, guint64 base, guint64 offset,
                     guint64 limit, DirtyRun *run, DirtyMapVisit visit,
                     void *opaque);
