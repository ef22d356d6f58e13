/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Names of Ceph's images; for remote-name.c.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

/* Add the flat options of a name that begins with rbd:; false if it is
 * malformed (EINVAL) or has a key that could not be told QEMU (ENOTSUP). */
bool rbd_name_read (const char *name, GHashTable *options, GError **error);
