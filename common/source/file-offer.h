/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Since which checkpoints disks that are read from files can be had.
 */
#pragma once

#include "source/source.h"

/* Once the disks are open; says which of them are full.  tree: taken; NULL:
 * none was given.  NULL with ENOENT if that does not know the request's
 * checkpoint, and bitmaps are named.
 */
Offer *file_offer (const Source *source, const SourceRequest *request,
                   Forest *tree, GError **error);
