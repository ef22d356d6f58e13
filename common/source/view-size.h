/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * How much a view has: what an incremental backup would copy.
 */
#pragma once

#include "source/catalogue.h"

/* How many bytes are dirty in any of the view's parts.  The catalogue is
 * started.  Reads maps where the images do not tell the number.  False with an
 * error if it cannot be known.
 */
bool view_dirty_bytes (Source *source, const DiskView *view, guint64 *bytes,
                       GError **error);
