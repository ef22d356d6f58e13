/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Checks a plan by doing it to a model.
 */
#pragma once

#include "record/change.h"
#include "tree/forest.h"

/* After the changes, and without the checkpoints of doomed (a set), would each
 * view since another one have all that it has now, and would none be served that
 * lacks what a doomed one has recorded?  EIO if not.  Only records that end in a
 * layer can lack something (see parts.h).
 */
bool plan_keeps_views (const Forest *forest, const GPtrArray *disks,
                       GHashTable *doomed, const GPtrArray *changes,
                       GError **error);
