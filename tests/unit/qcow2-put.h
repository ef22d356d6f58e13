/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * For tests that make images by hand: the reverse of qcow2_number.
 */
#pragma once

#include <glib.h>

static inline void
put (guint8 *bytes, guint length, guint64 number)
{
  while (length-- > 0) {
    bytes[length] = number & 0xff;
    number >>= 8;
  }
}
