/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Backing images are open read-only in a QEMU that runs, and their bitmaps can be
 * changed only while they are not.
 */
#pragma once

#include "qemu/monitor.h"

typedef struct Reopened Reopened;

/* Have QEMU open these nodes (names, borrowed until the end) for writing.  A
 * process beside us opens them read-only again when we have ended in whatever
 * way.  False with QEMU's reason; all are read-only again then.
 */
bool reopen_for_writing (Monitor *monitor, const GPtrArray *nodes,
                         Reopened **reopened, GError **error);

/* Read-only again; frees.  False if that is in vain for the moment, and what it
 * means.  NULL is fine.
 */
bool reopen_read_only (Reopened *reopened, GError **error);
