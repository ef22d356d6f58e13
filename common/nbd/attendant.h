/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Receives what was asked for ahead while nobody comes for it.  As long as an
 * answer is unread QEMU has a request under way, and it waits for all of them
 * (bdrv_drain_all) before it makes a checkpoint or a snapshot, or ends a job:
 * without us, a client that does nothing for an hour would stop the guest for
 * an hour.
 */
#ifndef COMMON_NBD_ATTENDANT_H
#define COMMON_NBD_ATTENDANT_H

#include <stdbool.h>
#include <glib.h>

/* So long after it was last used, a connection is looked after. */
#define ATTENDANT_IDLE_US 100000
/* So long it is waited for what the server sends next. */
#define ATTENDANT_PATIENCE_MS 10

typedef struct Attendant Attendant;

/* Receive what there is, without waiting for a lock.  True if more is on its
 * way.  In a thread of the attendant's.
 */
typedef bool (*Attend) (void *opaque);

/* One for each pool.  It has no thread until it is woken. */
Attendant *attendant_new (void);
void attendant_free (Attendant *attendant);

/* From now on until attendant_remove, which waits for attend to return. */
void attendant_add (Attendant *attendant, Attend attend, void *opaque);
void attendant_remove (Attendant *attendant, void *opaque);

/* Something is on its way.  Costs nothing while it knows.  Not before nbdkit
 * has forked.  Any thread, under any lock that attend only tries to take.
 */
void attendant_wake (Attendant *attendant);

#endif /* COMMON_NBD_ATTENDANT_H */
