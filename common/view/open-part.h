/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The connections to a part and its dirty map: shared by all clients, and kept
 * a while after the last has left.
 */
#pragma once

#include "nbd/map-reader.h"
#include "nbd/read-ahead.h"
#include "source/source.h"

typedef struct OpenParts OpenParts;

typedef struct {
  NbdPool *pool;
  const DirectRead *direct;     /* NULL: all is read through pool; borrowed */
  NbdPool *bits;                /* NULL: pool tells what is dirty, too */
  MapReader *reader;
} OpenPart;

/* Let this process, and those that it starts, open as many files as it may: a
 * part takes up to 8 connections.
 */
void open_parts_raise_limit (void);

/* want_zeroes: maps tell dirty zeroes from dirty data.  coalesce: bytes, see
 * dirty_map_new.  source must outlive the cache.
 */
OpenParts *open_parts_new (Source *source, bool want_zeroes,
                           guint64 coalesce);
void open_parts_free (OpenParts *cache);

/* Connect to a part, or share what is connected: map and data come from the
 * same connections, and so are of one point in time.  Give it back with
 * open_part_release.  Any thread.
 */
OpenPart *open_part_acquire (OpenParts *cache, const Disk *disk,
                             const Part *part, GError **error);
void open_part_release (OpenPart *opened);

/* Read; as nbd_pool_pread.  ahead is the client's own, or NULL. */
int open_part_pread (const OpenPart *opened, ReadAhead *ahead, void *buffer,
                     guint32 count, guint64 offset, NbdBudget *budget,
                     GError **error);

/* Acquire all of the parts (Part), or none.  Returns a new array of OpenPart
 * that gives them back when it is freed.
 */
GPtrArray *open_part_acquire_all (OpenParts *cache, const Disk *disk,
                                  const GPtrArray *parts, GError **error);
