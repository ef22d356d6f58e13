/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Reading ahead along the dirty map: whoever reads what is dirty in
 * ascending order will read the next dirty run, too, wherever it is.
 */
#ifndef COMMON_NBD_READ_AHEAD_H
#define COMMON_NBD_READ_AHEAD_H

#include "map/dirty-map.h"
#include "nbd/pool.h"

typedef struct ReadAhead ReadAhead;

/* For one reader.  Both are borrowed and must outlive it.  pool must serve one
 * point in time, as everything that is read ahead is older than the request
 * for it.  Takes memory (READ_AHEAD_BYTES) and a connection of the pool once
 * the reader reads in order, and gives them back when it reads elsewhere.
 */
ReadAhead *read_ahead_new (NbdPool *pool, const DirtyMap *map);
/* Waits for what is on its way, or else its connection would be lost to the
 * pool, READ_AHEAD_GOODBYE_MS at most.  NULL is fine.
 */
void read_ahead_free (ReadAhead *ahead);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ReadAhead, read_ahead_free)

#define READ_AHEAD_GOODBYE_MS 2000
/* With a witness, whose word takes its time, four times as much. */
#define READ_AHEAD_BYTES (2 * 1024 * 1024)

/* Tell that these bytes are asked for, and give what was read ahead of them:
 * how many bytes are in buffer now, and in *came when the last of them came (as
 * of nbd_pool_release).  If 0, *others (in: count) is how many of
 * them to read by nbd_pool_pread, and this also where reading ahead failed:
 * errors are told to those who ask for the very bytes.  May wait for bytes
 * that are on their way (PIPELINE_TIMEOUT_MS at most).  Any thread, but
 * nothing is given to one that comes while another is in here.
 */
guint32 read_ahead_take (ReadAhead *ahead, void *buffer, guint32 count,
                         guint64 offset, guint32 *others, gint64 *came,
                         const NbdBudget *budget);

/* Receive what is on its way, for some milliseconds at most.  False at once if
 * nothing is, or another thread does.
 */
bool read_ahead_go_on (ReadAhead *ahead, int milliseconds);

#endif /* COMMON_NBD_READ_AHEAD_H */
