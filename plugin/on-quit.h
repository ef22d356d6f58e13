/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * To know that nbdkit was told to end.  It waits for its clients then, and
 * tells plugins nothing before the last has left.
 */
#ifndef PLUGIN_ON_QUIT_H
#define PLUGIN_ON_QUIT_H

/* A descriptor, ours to keep, that becomes readable when the process gets one
 * of the signals that end nbdkit.  Its own handlers still run.  -1 if that is
 * not possible.  Once per process, in .after_fork.
 */
int on_quit_fd (void);

#endif /* PLUGIN_ON_QUIT_H */
