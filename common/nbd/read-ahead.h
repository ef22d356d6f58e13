/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Reading ahead along the dirty map: whoever reads what is dirty in ascending
 * order will read the next dirty run, too, wherever it is.
 */
#pragma once

#include "map/dirty-map.h"
#include "nbd/pool.h"

typedef struct ReadAhead ReadAhead;

/* With a witness, whose word takes its time, four times as much; of a server that
 * is far away, as much as fills the way, up to PIPELINE_PIECES pieces.
 */
#define READ_AHEAD_BYTES (2 * 1024 * 1024)
#define READ_AHEAD_GOODBYE_MS 2000
#define READ_AHEAD_PAUSE_US (2 * G_TIME_SPAN_SECOND)

/* For one reader, in any number of threads.  Both are borrowed and must outlive
 * it.  pool must serve one point in time, as bytes are older than the request for
 * them.  Takes memory (nbd_life_take_memory) and a connection of the pool once
 * the reader reads in order, and gives them back when it reads elsewhere, or
 * nothing for READ_AHEAD_PAUSE_US.
 */
ReadAhead *read_ahead_new (NbdPool *pool, const DirtyMap *map);
/* Waits for what is on its way, or its connection would be lost to the pool:
 * READ_AHEAD_GOODBYE_MS at most, and as long as 4 MiB a second need for it.  NULL
 * is fine.
 */
void read_ahead_free (ReadAhead *ahead);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ReadAhead, read_ahead_free)

/* A request of the reader's for so many bytes begins, and ends.  What it asks for
 * by itself at once need not be read ahead.  Any thread.
 */
void read_ahead_enter (ReadAhead *ahead, guint32 count);
void read_ahead_leave (ReadAhead *ahead, guint32 count);

/* In a request: tell that these bytes are asked for.  Returns how many of them,
 * read ahead, are in buffer now; in *came, when the last of them came (for
 * nbd_pool_release).  If 0, *others (in: count) is how many to read by
 * nbd_pool_pread; so also where reading ahead failed, since only who asks for
 * the very bytes is told errors.  May wait for bytes that are on their way
 * (PIPELINE_TIMEOUT_MS at most).  Any thread.
 */
guint32 read_ahead_take (ReadAhead *ahead, void *buffer, guint32 count,
                         guint64 offset, guint32 *others, gint64 *came,
                         const NbdBudget *budget);

/* Receive what is on its way, for some milliseconds at most.  False at once if
 * nothing is, or another thread does.
 */
bool read_ahead_go_on (ReadAhead *ahead, int milliseconds);
