/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A thread that receives what was asked for ahead when the client does not come
 * for it.  QEMU waits until all answers have been received (bdrv_drain_all)
 * before it makes a checkpoint or a snapshot, or ends a job: a client that is
 * idle for an hour would stop the guest for an hour.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

/* Receive on a connection only if no client has received on it for so long. */
#define COLLECTOR_IDLE_US 100000
/* The thread waits no longer than that for the server to send more. */
#define COLLECTOR_PATIENCE_MS 10

typedef struct Collector Collector;

/* Receive what there is, without waiting for a lock.  True if more is on its
 * way.  In a thread of the collector's.
 */
typedef bool (*Collect) (void *opaque);

/* One for each pool.  It has no thread until it is woken. */
Collector *collector_new (void);
void collector_free (Collector *collector);

/* Call collect until collector_remove, which waits for it to return. */
void collector_add (Collector *collector, Collect collect, void *opaque);
void collector_remove (Collector *collector, void *opaque);

/* Something is on its way.  Free of cost while the thread is awake.  Not before
 * nbdkit forks.  Any thread, under any lock that collect only tries to take.
 */
void collector_wake (Collector *collector);
