/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */

/* The dirty map: which bytes of a disk changed, and which of those read
 * as zeroes.
 *
 * A map is built once, in ascending order, by one writer, while readers
 * already use what lies below the frontier.  It takes a bounded amount of
 * memory whatever it is fed: when a map cannot be kept exactly within the
 * bound, some blocks are called dirty that are not, or lose the remark
 * that they read as zeroes.  The error is never the other way round, as a
 * block too many is waste and a block too few is a corrupt backup.
 *
 * Threads: dirty_map_append and dirty_map_appended belong to the writer
 * (callers with several writers hold a lock around them).  Every other
 * function on a map may be called from any thread at any time, without a
 * lock, until dirty_map_free, which must be the last call.
 *
 * Errors: none are returned.  Running out of memory aborts, as always
 * with GLib.
 */

#ifndef COMMON_MAP_DIRTY_MAP_H
#define COMMON_MAP_DIRTY_MAP_H

#include <stdbool.h>
#include <glib.h>

G_BEGIN_DECLS

/* The values are stored as two bits: bit 0 says "dirty", bit 1 "zero".
 * Forgetting that a block is zero is thus clearing bit 1.
 */
typedef enum {
  DIRTY_MAP_CLEAN = 0,
  DIRTY_MAP_DIRTY = 1,
  DIRTY_MAP_ZERO = 3            /* dirty and reads as zeroes */
} DirtyState;

typedef struct DirtyMap DirtyMap;

/* The usual memory limit.  What comes on top of it (staging of at most
 * 4 MiB while the map is built, an index of at most 0.3 MiB) keeps a map
 * below 64 MiB.
 */
#define DIRTY_MAP_MEMORY_LIMIT ((gsize) 56 * 1024 * 1024)

/* A new map of a disk of size bytes (any value; 0 makes a map which is
 * complete at once).
 *
 * Clean gaps of at most coalesce bytes between two dirty runs are called
 * dirty, unless what is on both sides reads as zeroes: joining those
 * would turn blocks that are skipped into blocks that are read.  A gap at
 * the start or at the end of the disk is never joined.
 *
 * memory_limit bounds, in bytes, the encoded map without its index and
 * staging.  Any value works; the smaller, the coarser the map.
 *
 * The caller owns the map: dirty_map_free, or g_autoptr (DirtyMap).
 */
DirtyMap *dirty_map_new (guint64 size, guint64 coalesce, gsize memory_limit);

/* Free the map.  NULL is allowed; a map need not be complete. */
void dirty_map_free (DirtyMap *map);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DirtyMap, dirty_map_free)

/* Say that the next length bytes are in this state.  What would go beyond
 * the size of the disk is ignored, as is a length of 0.  A value which is
 * not a DirtyState counts as DIRTY_MAP_DIRTY.  Writer only.
 */
void dirty_map_append (DirtyMap *map, guint64 length, DirtyState state);

/* How many bytes were appended so far.  Writer only. */
guint64 dirty_map_appended (const DirtyMap *map);

/* How many bytes, from the start of the disk, may be looked up.  It only
 * grows, in steps of 512 MiB or more, lags behind what was appended, and
 * is the size of the disk when all of it was appended.  A clean gap which
 * might yet be coalesced holds it back.
 */
guint64 dirty_map_frontier (const DirtyMap *map);

/* How many bytes, from the start of the disk, have to be appended before all
 * below end may be looked up (more, while a gap may be coalesced).
 */
guint64 dirty_map_needed (const DirtyMap *map, guint64 end);

/* The state of the byte at offset.  *end is where the run of bytes in
 * that state ends, or limit if that comes first.
 *
 * offset < limit <= dirty_map_frontier () is required.  Of anything else
 * nothing is known, so it is reported as a critical warning, answered
 * with DIRTY_MAP_DIRTY, and *end is beyond offset so that loops end.
 */
DirtyState dirty_map_lookup (const DirtyMap *map, guint64 offset,
                             guint64 limit, guint64 *end);

/* How many of the bytes appended so far are dirty (including those which
 * read as zeroes), and how many read as zeroes: as they were appended,
 * before coalescing, and whether or not the map is exact.
 */
guint64 dirty_map_dirty_bytes (const DirtyMap *map);
guint64 dirty_map_zero_bytes (const DirtyMap *map);

/* How many bytes of memory the map takes now, all included, with the
 * allocator's own overhead estimated.
 */
gsize dirty_map_memory (const DirtyMap *map);

/* False once the map had to call a byte dirty which was appended (or
 * coalesced) as something else: to stay within the memory limit, or
 * because a change of state was not on a sector boundary.  Sectors are
 * 512 bytes, and larger only for disks of more than 8 PiB.
 */
bool dirty_map_is_exact (const DirtyMap *map);

G_END_DECLS

#endif /* COMMON_MAP_DIRTY_MAP_H */
