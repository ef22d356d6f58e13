/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A view that is open, as who is no server reads it: what is dirty in any of its
 * parts, and the disk's bytes.
 */
#pragma once

#include "map/dirty-map-walk.h"
#include "source/catalogue.h"
#include "view/open-part.h"

typedef struct OpenView OpenView;

/* Connect to all parts of the view.  cache and view must outlive it.  NULL as
 * open_part_acquire.
 */
OpenView *open_view_new (OpenParts *cache, const DiskView *view,
                         GError **error);
/* NULL is fine. */
void open_view_free (OpenView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OpenView, open_view_free)

/* The disk's size in bytes. */
guint64 open_view_size (const OpenView *view);

/* As DirtyMapVisit: the next bytes are in this state.  False: that is enough. */
typedef DirtyMapVisit OpenViewVisit;

/* Read all of the map, and tell of each stretch how many bytes are known (told:
 * NULL: nobody).  What is visited after that is all known.  Any thread.
 */
typedef void (*OpenViewTold) (void *opaque, guint64 known);
bool open_view_learn (OpenView *view, OpenViewTold told, void *opaque,
                      GError **error);

/* Have all of the map visited once, and keep as little of it as can be: half of the
 * work of open_view_visit.  What was visited is good only if this returns true, or
 * as far as open_view_prove said so; runs as there, and false, too.  visit may wait
 * for whom it writes to.  Nobody else may look at the map meanwhile.
 */
bool open_view_pass (OpenView *view, OpenViewVisit visit, OpenViewTold told,
                     void *opaque, GError **error);

/* Is all good that open_view_pass has visited until now, whatever comes after it?
 * For visit, and for who called that: nothing is handed on before.  False: with an
 * error; what was not proved by then is not known.
 */
bool open_view_prove (const OpenView *view, GError **error);

/* False once blocks had to be called dirty that are not, as the map would have
 * taken too much memory.
 */
bool open_view_is_exact (const OpenView *view);

/* Have the map from offset to end visited in ascending order, without a gap;
 * neighbours differ in their state.  end is at most the disk's size.  False with
 * an error: not all is known, and what was visited is not all; false without
 * one: visit returned false.  Any thread.
 */
bool open_view_visit (OpenView *view, guint64 offset, guint64 end,
                      OpenViewVisit visit, void *opaque, GError **error);

/* Read the disk's true bytes, clean ones, too.  offset + count is at most the
 * disk's size.  What was read is of the one instant that the map is of.  Any
 * thread; several at once are under way together.
 */
bool open_view_read (OpenView *view, void *buffer, guint32 count,
                     guint64 offset, GError **error);
