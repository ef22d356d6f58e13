/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A new qcow2 image, in which nothing is allocated.  (A guest's QEMU could make it,
 * too, but ends with an assertion if a client of its monitor asks for all nodes
 * while it does so: there is a node then that is open in part only, see
 * qcow2_get_specific_info of 7.2.)
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

/* Write it into a file that is empty.  size: of the disk, bytes.  False with errno:
 * EFBIG if no image with clusters of 64 KiB is of that size.
 */
bool qcow2_write_empty (int fd, guint64 size);
