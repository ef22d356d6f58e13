/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The dirty map of one part, read from its server as far as it is needed, once
 * for all clients.  A question far beyond what is known is answered by itself,
 * without reading all that comes before.
 */
#pragma once

#include "map/map-view.h"
#include "nbd/pool.h"

typedef struct MapReader MapReader;

/* So much of a map may be asked for with one budget (bytes of the disk): a whole
 * answer of QEMU's and more, so that the next one is asked for while one is looked
 * at.
 */
#define MAP_READER_PIECE ((guint64) 16 * 1024 * 1024 * 1024)

/* pool is connected to endpoint, and bits to endpoint->bits (NULL if that is).
 * Both are borrowed and must outlive the reader.  want_zeroes: tell dirty
 * zeroes from dirty data.  coalesce: bytes, see dirty_map_new.
 */
MapReader *map_reader_new (NbdPool *pool, NbdPool *bits,
                           const NbdEndpoint *endpoint, bool want_zeroes,
                           guint64 coalesce);
void map_reader_free (MapReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (MapReader, map_reader_free)

/* Make the map known from offset to end, and view tell of it until
 * map_view_clear.  0, or an errno, with *error as in nbd_pool_pread.  A map
 * that could not be read stays unreadable (EIO), so that no later request is
 * answered from half of it.  Any thread; those that need the same slice wait
 * for the one that reads it.
 */
int map_reader_need (MapReader *reader, guint64 offset, guint64 end,
                     NbdBudget *budget, MapView *view, GError **error);

/* How many bytes are known. */
typedef void (*MapReaderTold) (void *opaque, guint64 known);

/* Make all of the map known, piece by piece, each with a budget of its own; told (or
 * NULL) hears of each.  0, or an errno, as above.
 */
int map_reader_learn (MapReader *reader, MapReaderTold told, void *opaque,
                      GError **error);

/* Have all of the map visited as it comes, in order, and keep nothing of it: for
 * who looks at it once.  What was visited is good only if this returns 0, as the
 * server is asked at the very end whether it was right all the time; or as far as
 * map_reader_prove said so.  0, or an errno, with *error as above;
 * ECANCELED: visit returned false.  EALREADY, and nothing is visited, if some of
 * the map was read before, or it has to be whole to be believed.  visit may take
 * its time, holding up no server.  One thread; until it returns, no other may ask
 * this reader.
 */
int map_reader_pass (MapReader *reader, DirtyMapVisit visit,
                     MapReaderTold told, void *opaque, GError **error);

/* Is what was visited until now good, whatever comes after it?  For visit, and for
 * who called map_reader_pass, in its thread.  0, or an errno, with *error as above.
 */
int map_reader_prove (MapReader *reader, GError **error);

/* What is known from the start on, however much that is. */
const DirtyMap *map_reader_map (const MapReader *reader);
