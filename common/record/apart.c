/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "record/apart.h"

Record *
apart_new (Bitmaps *bitmaps G_GNUC_UNUSED,
           Documents *documents G_GNUC_UNUSED,
           const Reporter *reporter G_GNUC_UNUSED)
{
  return NULL;
}
