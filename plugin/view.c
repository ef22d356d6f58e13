/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * One row per view.  Why the flags are these: qemu-img convert -B leaves to
 * the backing file what is a hole but not known to be zero, and writes
 * zeroes over what is known to be zero; nbdcopy --destination-is-zero skips
 * what is known to be zero, and copies the rest.
 */
#include <config.h>

#include <string.h>
#include <glib.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "plugin/view.h"

static const View views[] = {
  {
    .name = "overlay",
    .clean = NBDKIT_EXTENT_HOLE,
    .dirty = 0,
    .dirty_zero = NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO,
  },
  {
    .name = "sparse",
    .clean = NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO,
    .dirty = 0,
    .dirty_zero = 0,
  },
  {
    .name = "guard",
    .clean = NBDKIT_EXTENT_HOLE,
    .dirty = 0,
    .dirty_zero = NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO,
    .refuses_clean = true,
  },
};

const View *
view_lookup (const char *name)
{
  if (!name)
    return &views[0];
  for (guint i = 0; i < G_N_ELEMENTS (views); i++)
    if (strcmp (views[i].name, name) == 0)
      return &views[i];
  return NULL;
}

const View *
view_of_disk (void)
{
  static const View disk = {
    .name = "disk",
    .dirty_zero = NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO,
  };

  return &disk;
}

const char *
view_names (void)
{
  return "overlay, sparse, guard";
}
