/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Holds the server's connections to the job open until the keeper ends.
 */
#pragma once

typedef struct Held Held;

/* Start a thread that holds connections open that the socket tells of, and
 * throws away what comes on those that nobody else receives on, as long as the
 * process lives.  NULL: no thread could be started.
 */
Held *held_start (int server_fd);

/* A job is about to begin, or a change.  Until then the process ends where its server does,
 * whatever it waits for.
 */
void held_begin (Held *held);

/* Wait until none may still negotiate; seconds at most.  Before a job that was
 * served from is ended, once its server is gone or has been told to end.
 */
void held_wait (Held *held);
