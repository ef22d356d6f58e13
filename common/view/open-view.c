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

static bool
visit_union (const GArray *views, guint64 offset, guint64 limit, DirtyRun *run,
             OpenViewVisit visit, void *opaque)
{
  for (guint64 end; offset < limit; offset = end)
    if (!dirty_run_go_on (run, offset, state_at (views, offset, limit, &end),
                          visit, opaque))
      return false;
  return true;
}

/* Most views have one part. */
static bool
visit_stretch (const GArray *views, guint64 offset, guint64 limit,
               DirtyRun *run, OpenViewVisit visit, void *opaque)
{
  return views->len == 1
    ? map_view_walk (&g_array_index (views, MapView, 0), offset, limit, run,
                     visit, opaque)
    : visit_union (views, offset, limit, run, visit, opaque);
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

static GArray *
new_views (const OpenView *self)
{
  GArray *views = g_array_new (FALSE, TRUE, sizeof (MapView));

  g_array_set_clear_func (views, (GDestroyNotify) map_view_clear);
  return g_array_set_size (views, self->parts->len);
}

bool
open_view_learn (OpenView *self, OpenViewTold told, void *opaque,
                 GError **error)
{
  const guint64 size = open_view_size (self);

  for (guint64 known = 0; known < size;) {
    g_autoptr (GArray) views = new_views (self);
    const guint64 limit = MIN (size, known + MAP_READER_PIECE);
    if (!need (self, known, limit, views, error))
      return false;
    known = limit;
    if (told)
      told (opaque, known);
  }
  return true;
}

bool
open_view_is_exact (const OpenView *self)
{
  for (guint i = 0; i < self->parts->len; i++) {
    const OpenPart *part = g_ptr_array_index (self->parts, i);
    if (!dirty_map_is_exact (map_reader_map (part->reader)))
      return false;
  }
  return true;
}

/* told: NULL: nobody. */
static bool
visit_pieces (OpenView *self, guint64 offset, guint64 end,
              OpenViewVisit visit, OpenViewTold told, void *opaque,
              GError **error)
{
  DirtyRun run = { 0 };

  while (offset < end) {
    const guint64 limit = MIN (end, offset + MAP_READER_PIECE);
    g_autoptr (GArray) views = new_views (self);
    if (!need (self, offset, limit, views, error)
        || !visit_stretch (views, offset, limit, &run, visit, opaque))
      return false;
    offset = limit;
    if (told)
      told (opaque, offset);
  }
  return dirty_run_end (&run, end, visit, opaque);
}

bool
open_view_visit (OpenView *self, guint64 offset, guint64 end,
                 OpenViewVisit visit, void *opaque, GError **error)
{
  return visit_pieces (self, offset, end, visit, NULL, opaque, error);
}

bool
open_view_pass (OpenView *self, OpenViewVisit visit, OpenViewTold told,
                void *opaque, GError **error)
{
  const OpenPart *part = g_ptr_array_index (self->parts, 0);
  const int failure = self->parts->len > 1 ? EALREADY
    : map_reader_pass (part->reader, visit, told, opaque, error);

  if (failure == EALREADY)
    return visit_pieces (self, 0, open_view_size (self), visit, told, opaque,
                         error);
  return failure == 0
    || (failure != ECANCELED
        && fail (self, failure, "its dirty map cannot be read", error));
}

bool
open_view_prove (const OpenView *self, GError **error)
{
  for (guint i = 0; i < self->parts->len; i++) {
    const OpenPart *part = g_ptr_array_index (self->parts, i);
    const int failure = map_reader_prove (part->reader, error);
    if (failure)
      return fail (self, failure, "its dirty map cannot be read", error);
  }
  return true;
}

bool
open_view_read (OpenView *self, void *buffer, guint32 count, guint64 offset,
                GError **error)
{
  const OpenPart *top = g_ptr_array_index (self->parts, 0);
  NbdBudget budget = nbd_life_budget (nbd_pool_life (top->pool));
  const int failure
    = open_part_pread (top, NULL, buffer, count, offset, &budget, error);

  if (!failure)
    return true;
  fail (self, failure, "it cannot be read", error);
  if (self->view->disk->clean_unreadable)
    g_prefix_error (error, "its server shows the view guard, which refuses to "
                    "read what is clean; have it show overlay: ");
  return false;
}
