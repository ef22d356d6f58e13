/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The loop of JobOps, for jobs whose library has none of its own: GLib's default
 * one.
 */
#pragma once

#include "keeper/job-ops.h"

/* As of JobOps. */
bool glib_loop_add_fd (int fd, KeeperCallback heed, void *opaque);
bool glib_loop_add_clock (int interval_ms, KeeperCallback heed, void *opaque);
bool glib_loop_turn (void);
