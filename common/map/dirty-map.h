/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The dirty map: which bytes of a disk changed, and which of those read as
 * zeroes.
 *
 * One writer builds a map once, in ascending order, while readers already use
 * what lies below the frontier.  It takes a bounded amount of memory whatever
 * it is fed.  Where it cannot be kept exactly within the bound, some blocks are
 * called dirty that are not, or lose the remark that they read as zeroes.
 * The error is never the other way round: a block too many is waste, and a
 * block too few is a corrupt backup.
 *
 * Threads: dirty_map_append and dirty_map_appended belong to the writer;
 * several writers hold a lock around them.  All other functions may be called
 * from any thread, without a lock, until dirty_map_free, which must be the last
 * call.  None fails; GLib aborts when memory is out.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

/* Two bits: bit 0 says "dirty", bit 1 "zero".  Clearing bit 1 forgets that a
 * block is zero.
 */
typedef enum {
  DIRTY_MAP_CLEAN = 0,
  DIRTY_MAP_DIRTY = 1,
  DIRTY_MAP_ZERO = 3            /* dirty and reads as zeroes */
} DirtyState;

typedef struct DirtyMap DirtyMap;

/* The usual memory limit.  Staging of at most 4 MiB while the map is built, and
 * an index of at most 0.3 MiB, come on top: a map stays below 64 MiB.
 */
#define DIRTY_MAP_MEMORY_LIMIT ((gsize) 56 * 1024 * 1024)

/* Returns a new map of a disk of size bytes (0: it is complete at once);
 * dirty_map_free ().
 *
 * coalesce: clean gaps of at most so many bytes between two dirty runs are
 * called dirty, but not between two runs of zeroes, since that would turn
 * blocks that are skipped into blocks that are read, nor at the start or the
 * end of the disk.
 *
 * memory_limit: of the encoded map in bytes, without index and staging.  Any
 * value works; the smaller, the coarser the map.
 */
DirtyMap *dirty_map_new (guint64 size, guint64 coalesce, gsize memory_limit);

/* NULL is fine; a map need not be complete. */
void dirty_map_free (DirtyMap *map);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DirtyMap, dirty_map_free)

/* Say that the next length bytes are in this state.  Bytes beyond the end of
 * the disk are ignored.  No DirtyState counts as DIRTY_MAP_DIRTY.  Writer only.
 */
void dirty_map_append (DirtyMap *map, guint64 length, DirtyState state);

/* How many bytes were appended so far.  Writer only. */
guint64 dirty_map_appended (const DirtyMap *map);

/* How many bytes, from the start of the disk, may be looked up.  It only grows,
 * in steps of 512 MiB or more, lags behind what was appended (a clean gap that
 * might yet be coalesced holds it back), and is the disk's size in the end.
 */
guint64 dirty_map_frontier (const DirtyMap *map);

/* How many bytes have to be appended before all below end may be looked up
 * (more, while a gap may be coalesced).
 */
guint64 dirty_map_needed (const DirtyMap *map, guint64 end);

/* The state of the byte at offset; in *end, where the run of bytes in that
 * state ends, or limit if that comes first.
 *
 * offset < limit <= dirty_map_frontier () is required.  Anything else is a
 * critical warning, and answered with DIRTY_MAP_DIRTY and an *end beyond
 * offset.
 */
DirtyState dirty_map_lookup (const DirtyMap *map, guint64 offset,
                             guint64 limit, guint64 *end);

/* How many of the bytes appended so far are dirty (with those that read as
 * zeroes), and how many read as zeroes: as they were appended, whatever the map
 * made of them.
 */
guint64 dirty_map_dirty_bytes (const DirtyMap *map);
guint64 dirty_map_zero_bytes (const DirtyMap *map);

/* How many bytes of memory the whole map takes now, with an estimate of the
 * allocator's overhead.
 */
gsize dirty_map_memory (const DirtyMap *map);

/* False once the map had to call a byte dirty that was something else (even
 * after coalescing): to stay within the memory limit, or because a change of
 * state was inside a sector.  Sectors are 512 bytes, and larger only for disks
 * of more than 8 PiB.
 */
bool dirty_map_is_exact (const DirtyMap *map);
