/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The only way to nbdkit's log (make lint), for those who have included its
 * headers: what others named is made printable on it.
 */
#pragma once

#include "base/printable.h"

#define say_error(...) \
  do { \
    g_autofree char *said_ = printable_format (__VA_ARGS__); \
    nbdkit_error ("%s", said_); \
  } while (0)
#define say_debug(...) \
  do { \
    g_autofree char *said_ = printable_format (__VA_ARGS__); \
    nbdkit_debug ("%s", said_); \
  } while (0)
