/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * File descriptors that nobody forgets to close.
 */
#pragma once

#include <errno.h>
#include <unistd.h>

/* Close it, unless it is -1, which it is then.  Keeps errno. */
static inline void
close_fd (int *fd)
{
  const int failure = errno;

  if (*fd >= 0)
    close (*fd);
  *fd = -1;
  errno = failure;
}

/* A descriptor, or -1, that is closed where its block ends, as GLib's g_autofd
 * of 2.80.
 */
#define auto_fd __attribute__ ((cleanup (close_fd))) int
