/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Ctrl-C, and what else tells us to end, in a command that reads disks: what
 * waits for a server is cut short, so the command fails soon, and cleans up as it
 * leaves.  Told twice, it ends at once, and what it has begun is ended by those
 * that look after it (keeper, child.h).
 */
#pragma once

#include <stdbool.h>

/* Listen from now on.  Once; no signal that was ignored is heeded. */
void quit_listen (void);

/* Were we told?  What takes long by itself asks now and then.  Any thread. */
bool quit_told (void);

/* At the very end: die by the signal that told us, if one did, as a shell expects
 * (status 130 of Ctrl-C).
 */
void quit_as_told (void);
