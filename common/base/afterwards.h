/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What must be undone whatever becomes of us: by a process that was forked before
 * it was done, and acts once we ask, or are gone, also by SIGKILL.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

typedef struct Afterwards Afterwards;

/* Called in the other process, which has its own copy of opaque. */
typedef bool (*AfterwardsAct) (void *opaque, GError **error);

/* Fork it.  No signal but SIGKILL ends it, and it keeps no descriptor but keep.
 * It acts only if it was armed.  Not in a process that has threads.
 */
Afterwards *afterwards_new (AfterwardsAct act, void *opaque, int keep,
                            GError **error);

/* From now on there is something to undo. */
void afterwards_arm (Afterwards *self);

/* Have it act, if it was armed, and free.  False with its error, or ETIMEDOUT: it
 * goes on with it.  NULL is fine: there is nothing to be done.
 */
bool afterwards_do (Afterwards *self, guint milliseconds, GError **error);
