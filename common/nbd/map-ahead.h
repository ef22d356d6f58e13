/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Block status that is asked for before anybody wants it, on a connection of its
 * own, so that the server works it out meanwhile: one slice, or as many as it
 * takes that clients need not wait.  The pool must have a connection to spare.
 *
 * One thread at a time.  NULL asks nothing, and has no answer.
 */
#pragma once

#include "nbd/pool.h"

typedef struct MapAhead MapAhead;

/* Nothing is asked of what lies beyond end.  like: what its answers are of. */
MapAhead *map_ahead_new (NbdPool *pool, guint64 end, const MapAnswer *like);
/* The connection goes back to the pool, if nothing is left unanswered. */
void map_ahead_free (MapAhead *ahead);

/* From offset on, have as many slices of so many bytes under way as are to be,
 * and two if a client waits for what is up to wanted.
 */
void map_ahead_ask (MapAhead *ahead, guint64 offset, guint64 wanted,
                    guint64 slice);

/* The answer to what was asked at offset, which is the caller's until it says
 * map_ahead_forget.  NULL if there is none: then it is to be asked again through
 * the pool, which says why it fails.  0, or an errno as of the pool.
 */
int map_ahead_await (MapAhead *ahead, guint64 offset, MapAnswer **answer,
                     const NbdBudget *budget, GError **error);
/* Does nothing for any other answer. */
void map_ahead_forget (MapAhead *ahead, const MapAnswer *answer);

/* How far from offset what was asked already begins, or most. */
guint64 map_ahead_gap (const MapAhead *ahead, guint64 offset, guint64 most);

/* Receive while something comes, but not beyond that time (monotonic,
 * microseconds).
 */
void map_ahead_receive (MapAhead *ahead, gint64 until);
bool map_ahead_is_under_way (const MapAhead *ahead);
