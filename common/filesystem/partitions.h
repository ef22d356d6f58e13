/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Partition tables: GPT, and MBR with logical partitions.  Read by ourselves: a
 * library would want a descriptor to read from, and entries of logical
 * partitions may lie anywhere on the disk.
 */
#pragma once

#include "filesystem/volume.h"

/* Add to volumes (of Volume) what the disk of that index has: its tables first,
 * then the partitions, with the numbers that Linux gives them.  *found: there is
 * a table.  False with an error: the disk cannot be read.
 */
bool partitions_find (GArray *disks, guint disk, GPtrArray *volumes,
                      bool *found, GError **error);
