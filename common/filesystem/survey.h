/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Whose all dirty bytes of a guest's disks are: each byte is in one line.
 */
#pragma once

#include "filesystem/examiner.h"

/* Add to lines (of Line) and notes (of char *).  disks (of VolumeDisk): nothing is
 * left in what is dirty there.  False: a disk cannot be read.
 */
bool survey_disks (Examiner *examiner, GArray *disks, const gint64 *since,
                   GPtrArray *lines, GPtrArray *notes, GError **error);
