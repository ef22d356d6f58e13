/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A thread that receives what was asked for ahead when the client does not come
 * for it.  QEMU waits until all answers have been received (bdrv_drain_all)
 * before it makes a checkpoint or a snapshot, or ends a job: a client that is
 * idle for an hour would stop the guest for an hour.
 */
#ifndef COMMON_NBD_ATTENDANT_H
#define COMMON_NBD_ATTENDANT_H

#include <stdbool.h>
#include <glib.h>

/* Attend to a connection only if no client has received on it for so long. */
#define ATTENDANT_IDLE_US 100000
/* The thread waits no longer than that for the server to send more. */
#define ATTENDANT_PATIENCE_MS 10

typedef struct Attendant Attendant;

/* Receive what there is, without waiting for a lock.  True if more is on its
 * way.  In a thread of the attendant's.
 */
typedef bool (*Attend) (void *opaque);

/* One for each pool.  It has no thread until it is woken. */
Attendant *attendant_new (void);
void attendant_free (Attendant *attendant);

/* Call attend until attendant_remove, which waits for it to return. */
void attendant_add (Attendant *attendant, Attend attend, void *opaque);
void attendant_remove (Attendant *attendant, void *opaque);

/* Something is on its way.  Free of cost while the thread is awake.  Not before
 * nbdkit forks.  Any thread, under any lock that attend only tries to take.
 */
void attendant_wake (Attendant *attendant);

#endif /* COMMON_NBD_ATTENDANT_H */
