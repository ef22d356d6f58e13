/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * To know that nbdkit was told to end.  It waits for its clients then, and
 * tells plugins nothing before the last has left.
 */
#ifndef COMMON_BASE_ON_QUIT_H
#define COMMON_BASE_ON_QUIT_H

#include <glib.h>

/* Listen from here on.  nbdkit's own handlers of the signals still run.  Once
 * per process, in .after_fork.
 */
void on_quit_listen (void);

/* Atomic, and true once the process got one of the signals that end nbdkit. */
const gint *on_quit_flag (void);

/* A descriptor, ours to keep, that becomes readable then; -1 if that is not
 * possible.
 */
int on_quit_fd (void);

#endif /* COMMON_BASE_ON_QUIT_H */
