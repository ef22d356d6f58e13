/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The union of all parts is made on the way, stretch by stretch: nothing is kept
 * beside the parts' own maps.
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "map/dirty-map-union.h"
#include "view/open-view.h"

/* So much of the map is asked for at once: a whole answer of QEMU's and more, so
 * that the next one is asked for while this one is visited.
 */
#define STRETCH ((guint64) 16 * 1024 * 1024 * 1024)

struct OpenView {
  const DiskView *view;
  GPtrArray *parts;             /* of OpenPart, top first; never empty */
};

void
open_view_free (OpenView *self)
{
  if (!self)
    return;
  g_ptr_array_unref (self->parts);
  g_free (self);
}

OpenView *
open_view_new (OpenParts *cache, const DiskView *view, GError **error)
{
  GPtrArray *parts
    = open_part_acquire_all (cache, view->disk, view->parts, error);

  if (!parts)
    return NULL;
  OpenView *self = g_new0 (OpenView, 1);
  self->view = view;
  self->parts = parts;
  return self;
}

static NbdPool *
first_pool (const OpenView *self)
{
  return ((OpenPart *) g_ptr_array_index (self->parts, 0))->pool;
}

guint64
open_view_size (const OpenView *self)
{
  return nbd_pool_size (first_pool (self));
}

/* Only the first who notices a failure is told why. */
static bool
fail (const OpenView *self, int failure, const char *what, GError **error)
{
  return error && !*error
    ? error_set (error, failure, "disk %s: %s: %s", self->view->disk->target,
                 what, g_strerror (failure)) : false;
}

/* In the union of all maps, from offset on. */
static DirtyState
state_at (const GArray *views, guint64 offset, guint64 limit, guint64 *end)
{
  DirtyState state = DIRTY_MAP_CLEAN;

  *end = limit;
  for (guint i = 0; i < views->len; i++) {
    guint64 next;
    state = dirty_state_union (
      state, map_view_lookup (&g_array_index (views, MapView, i), offset,
                              *end, &next));
    *end = MIN (*end, next);
  }
  return state;
}

/* What was seen and not visited yet, as it may go on. */
typedef struct {
  guint64 offset, length;
  DirtyState state;
} Run;

static bool
visit_stretch (const GArray *views, guint64 offset, guint64 limit, Run *run,
               OpenViewVisit visit, void *opaque)
{
  for (guint64 end; offset < limit; offset = end) {
    const DirtyState state = state_at (views, offset, limit, &end);
    if (run->length > 0 && state != run->state) {
      if (!visit (opaque, run->offset, run->length, run->state))
        return false;
      run->length = 0;
    }
    if (run->length == 0)
      *run = (Run) { offset, 0, state };
    run->length += end - offset;
  }
  return true;
}

/* Make all parts' maps known there. */
static bool
need (const OpenView *self, guint64 offset, guint64 end, GArray *views,
      GError **error)
{
  for (guint i = 0; i < self->parts->len; i++) {
    const OpenPart *part = g_ptr_array_index (self->parts, i);
    NbdBudget budget = nbd_life_budget (nbd_pool_life (part->pool));
    const int failure
      = map_reader_need (part->reader, offset, end, &budget,
                         &g_array_index (views, MapView, i), error);
    if (failure)
      return fail (self, failure, "its dirty map cannot be read", error);
  }
  return true;
}

bool
open_view_visit (OpenView *self, guint64 offset, guint64 end,
                 OpenViewVisit visit, void *opaque, GError **error)
{
  Run run = { 0 };

  while (offset < end) {
    const guint64 limit = MIN (end, offset + STRETCH);
    g_autoptr (GArray) views = g_array_new (FALSE, TRUE, sizeof (MapView));
    g_array_set_clear_func (views, (GDestroyNotify) map_view_clear);
    g_array_set_size (views, self->parts->len);
    if (!need (self, offset, limit, views, error)
        || !visit_stretch (views, offset, limit, &run, visit, opaque))
      return false;
    offset = limit;
  }
  return run.length == 0 || visit (opaque, run.offset, run.length, run.state);
}

bool
open_view_read (OpenView *self, void *buffer, guint32 count, guint64 offset,
                GError **error)
{
  const OpenPart *top = g_ptr_array_index (self->parts, 0);
  NbdBudget budget = nbd_life_budget (nbd_pool_life (top->pool));
  const int failure
    = open_part_pread (top, NULL, buffer, count, offset, &budget, error);

  return !failure || fail (self, failure, "it cannot be read", error);
}
