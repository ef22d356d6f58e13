/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A pool's connections but for the first.  Each takes several round trips, so
 * all are made at once, each by a thread, and where that is possible nobody
 * waits for them: they join the pool when they are there.
 */
#pragma once

#include <stdbool.h>

#include "nbd/endpoint.h"

typedef struct Further Further;

struct NbdPool;

/* Copies what it needs of the endpoint. */
Further *further_new (struct NbdPool *pool, const NbdEndpoint *endpoint,
                      bool want_zeroes);
/* Begin, and wait until all have joined that will.  May be called before nbdkit
 * forks.  False with an error that makes the pool useless.
 */
bool further_join_all (Further *further, GError **error);
/* Begin as soon as the life serves, and wait for none.  Such an error is told to
 * the endpoint's reporter, and the life is over.
 */
void further_join_later (Further *further);
/* May that be?  Before nbdkit has forked, only of a server that whoever we then
 * are (nbdkit --user) can connect to as well.
 */
bool further_may_join_later (const NbdEndpoint *endpoint);
/* Waits for those that are being made, a second at most.  NULL is fine. */
void further_free (Further *further);
