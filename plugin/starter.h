/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The process that nbdkit was started as.  With --run it waits for the command
 * while a child of it serves: if it is killed, nobody would end the server, its
 * job, and the scratch files that grow.  If the server is killed, what that process
 * still holds would stay.
 */
#ifndef PLUGIN_STARTER_H
#define PLUGIN_STARTER_H

/* To be called at the end of .get_ready, by that process.  If nbdkit leaves it to
 * wait, disown is called there, and the server is forked already.
 */
void starter_note (void (*disown) (void));

/* In .after_fork, after on_quit_listen: if another process serves than was
 * noted, end nbdkit (as SIGTERM does) once that one dies without having ended by
 * itself.  Starts a thread then.
 */
void starter_watch (void);

#endif /* PLUGIN_STARTER_H */
