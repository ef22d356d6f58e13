/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A forest, drawn.
 */
#pragma once

#include "tree/forest.h"

/* Draw these checkpoints of forest as virsh does, siblings in their order.  One
 * whose parent is not among them stands to the left, as a root.
 */
void draw (const Forest *forest, const GPtrArray *checkpoints);
