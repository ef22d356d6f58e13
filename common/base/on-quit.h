/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tells when nbdkit was told to end.  nbdkit itself then waits for its clients,
 * and tells plugins nothing before the last has left.
 */
#pragma once

#include <glib.h>

/* Listen; nbdkit's own handlers still run.  Once, in .after_fork. */
void on_quit_listen (void);

/* Atomic; true once the process got a signal that ends nbdkit. */
const gint *on_quit_flag (void);

/* A descriptor, not to be closed, that becomes readable then; or -1. */
int on_quit_fd (void);
