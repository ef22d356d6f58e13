/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The exports that clients have open: the connections to a part and its dirty
 * map, shared by all who ask for it, and kept a while after the last has left.
 */
#ifndef PLUGIN_SERVED_H
#define PLUGIN_SERVED_H

#include "nbd/map-reader.h"
#include "nbd/read-ahead.h"
#include "plugin/view.h"
#include "source/source.h"

typedef struct ServedCache ServedCache;

typedef struct {
  NbdPool *pool;
  const DirectRead *direct;     /* NULL: all is read through pool; borrowed */
  NbdPool *bits;                /* NULL: pool tells what is dirty, too */
  MapReader *reader;
} Served;

/* Let this process, and those that it starts, open as many files as it may: an
 * open export takes up to 8 connections, and with view=guard all parts of a
 * view are open.
 */
void served_raise_limit (void);

/* The view says what maps must tell; source must outlive the cache. */
ServedCache *served_cache_new (Source *source, const View *view,
                               guint64 coalesce);
void served_cache_free (ServedCache *cache);

/* Connect to a part, or share what is connected: map and data come from the
 * same connections, and so are of one point in time.  Give it back with
 * served_release.  Any thread.
 */
Served *served_acquire (ServedCache *cache, const Disk *disk,
                        const Part *part, GError **error);
void served_release (Served *served);

/* Read; as nbd_pool_pread.  ahead is the client's own, or NULL. */
int served_pread (const Served *served, ReadAhead *ahead, void *buffer,
                  guint32 count, guint64 offset, NbdBudget *budget,
                  GError **error);

/* Acquire all of the parts but one (its number; -1: really all), or none.
 * Returns a new array that gives them back when it is freed.
 */
GPtrArray *served_acquire_all (ServedCache *cache, const Disk *disk,
                               const GPtrArray *parts, int except,
                               GError **error);

#endif /* PLUGIN_SERVED_H */
