/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The process that nbdkit was started as.  With --run it waits for the command
 * while its child serves.  If it is killed, nobody else ends the server and its
 * job.  If the server is killed, what that process still holds stays.
 */
#pragma once

/* To be called at the end of .get_ready, by that process.  If nbdkit forks,
 * disown is called in the process that goes on to wait, once the server is
 * forked.
 */
void starter_note (void (*disown) (void));

/* To be called in .after_fork, after on_quit_listen.  If another process serves
 * than was noted, starts a thread that ends nbdkit, as SIGTERM does, when that
 * one is killed.
 */
void starter_watch (void);
