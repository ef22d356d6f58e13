/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The views: how clean and dirty blocks look to a client.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "map/dirty-map.h"

typedef struct {
  const char *name;             /* view=NAME */
  uint32_t clean;               /* NBDKIT_EXTENT_* for each kind of block */
  uint32_t dirty;
  uint32_t dirty_zero;
  bool refuses_clean;           /* reading a clean byte is EIO */
} View;

/* The view of that name, or NULL.  The default is view_lookup (NULL). */
const View *view_lookup (const char *name);

/* What view= says is of changes: the disk itself (PART_DISK) looks as it does to
 * QEMU's own clients.
 */
const View *view_of_disk (void);

/* "overlay, sparse, guard": static storage. */
const char *view_names (void);

static inline uint32_t
view_extent_type (const View *view, DirtyState state)
{
  return state == DIRTY_MAP_CLEAN ? view->clean
    : state == DIRTY_MAP_ZERO ? view->dirty_zero : view->dirty;
}
