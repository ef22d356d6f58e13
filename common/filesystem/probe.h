/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What kind of thing a volume holds.
 */
#pragma once

#include "filesystem/media.h"

typedef enum {
  PROBE_FAILED,                 /* it cannot be read */
  PROBE_EXT,                    /* ext2, ext3, ext4 */
  PROBE_XFS,
  PROBE_SWAP,
  PROBE_OTHER,
} Probe;

/* *name: what libblkid calls another one (g_free ()); NULL: nobody knows. */
Probe probe_media (Media *media, char **name, GError **error);
