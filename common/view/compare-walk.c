/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "view/compare-walk.h"

/* So much of all maps is laid side by side at once, which bounds the memory: 8 MiB
 * if all of them change from sector to sector.
 */
#define WINDOW ((guint64) 64 * 1024 * 1024)

typedef struct {
  guint64 end;
  DirtyState state;
} Run;

/* What one view says of a window. */
typedef struct {
  OpenView *view;               /* NULL: nothing, of all of it */
  guint64 size;                 /* of the view */
  GArray *runs;                 /* of Run */
  guint at;
} Track;

enum { DISK, BACKUP, SINCE, TAKEN, TRACKS };

static bool
append (void *opaque, guint64 offset, guint64 length, DirtyState state)
{
  const Run run = { offset + length, state };

  g_array_append_val ((GArray *) opaque, run);
  return true;
}

/* Beyond its end, all is zeroes, which are dirty. */
static bool
fill (Track *track, guint64 offset, guint64 end, GError **error)
{
  const Run rest = { end, DIRTY_MAP_ZERO };

  g_array_set_size (track->runs, 0);
  track->at = 0;
  if (track->view && offset < track->size
      && !open_view_visit (track->view, offset, MIN (end, track->size), append,
                           track->runs, error))
    return false;
  g_array_append_val (track->runs, rest);
  return true;
}

/* At offset, which never goes back; *end comes closer if it changes before. */
static DirtyState
state_at (Track *track, guint64 offset, guint64 *end)
{
  const Run *run;

  while ((run = &g_array_index (track->runs, Run, track->at))->end <= offset)
    track->at++;
  *end = MIN (*end, run->end);
  return run->state;
}

/* What the disk does not have any more is excused as what changed is. */
static CompareClass
class_of (const Track *tracks, guint64 offset, const DirtyState *states)
{
  const bool has_taken = tracks[TAKEN].view != NULL;

  if (has_taken && states[TAKEN] != DIRTY_MAP_CLEAN)
    return COMPARE_EXCUSED;
  if (offset >= tracks[DISK].size)
    return COMPARE_BEYOND;
  if (tracks[SINCE].view)
    return states[SINCE] == DIRTY_MAP_CLEAN ? COMPARE_CLEAN : COMPARE_DIRTY;
  return has_taken ? COMPARE_CLEAN : COMPARE_DIRTY;
}

/* The ends of both sides are ends of runs: each piece lies within one, or beyond
 * it.  The disk's own zeroes may be untold, where its server shows a view.
 */
static ComparePiece
piece_at (Track *tracks, guint64 offset, guint64 end)
{
  ComparePiece piece = { .offset = offset };
  DirtyState states[TRACKS];

  for (guint i = 0; i < TRACKS; i++)
    states[i] = state_at (&tracks[i], offset, &end);
  piece.end = end;
  piece.class = class_of (tracks, offset, states);
  piece.backup_is_zero = states[BACKUP] == DIRTY_MAP_ZERO;
  piece.disk_is_zero = states[DISK] == DIRTY_MAP_ZERO
    || (tracks[SINCE].view && states[SINCE] == DIRTY_MAP_ZERO);
  return piece;
}

guint64
compare_end (const CompareViews *views)
{
  return MAX (open_view_size (views->disk), open_view_size (views->backup));
}

static bool
walk_window (Track *tracks, guint64 offset, guint64 end, CompareVisit visit,
             void *opaque, GError **error)
{
  for (guint i = 0; i < TRACKS; i++)
    if (!fill (&tracks[i], offset, end, error))
      return false;
  while (offset < end) {
    const ComparePiece piece = piece_at (tracks, offset, end);
    if (!visit (opaque, &piece))
      return false;
    offset = piece.end;
  }
  return true;
}

bool
compare_walk (const CompareViews *views, guint64 offset, guint64 end,
              CompareVisit visit, void *opaque, GError **error)
{
  const guint64 disk_size = open_view_size (views->disk);
  Track tracks[TRACKS] = {
    [DISK] = { .view = views->disk, .size = disk_size },
    [BACKUP] = { .view = views->backup,
                 .size = open_view_size (views->backup) },
    [SINCE] = { .view = views->since, .size = disk_size },
    [TAKEN] = { .view = views->taken, .size = disk_size },
  };
  bool ok = true;

  for (guint i = 0; i < TRACKS; i++)
    tracks[i].runs = g_array_new (FALSE, FALSE, sizeof (Run));
  for (guint64 next; ok && offset < end; offset = next) {
    next = MIN (end, offset + WINDOW);
    ok = walk_window (tracks, offset, next, visit, opaque, error);
  }
  for (guint i = 0; i < TRACKS; i++)
    g_array_unref (tracks[i].runs);
  return ok;
}
