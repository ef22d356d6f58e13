/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Preloaded by test-libvirt-killed-connecting: a connection that has just got
 * its export is found ready late, once for each time that the file $LATE_READY
 * is made.  Meanwhile the file is called $LATE_READY.met.
 */
#include <config.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <libnbd.h>

#define LATE_S 30               /* the test kills us before */

int
nbd_aio_is_ready (struct nbd_handle *nbd)
{
  int (*real) (struct nbd_handle *);
  const char *armed = getenv ("LATE_READY");
  char met[4096];

  *(void **) &real = dlsym (RTLD_NEXT, "nbd_aio_is_ready");
  const int is_ready = real (nbd);
  if (is_ready == 1 && armed
      && snprintf (met, sizeof met, "%s.met", armed) < (int) sizeof met
      && rename (armed, met) == 0)
    sleep (LATE_S);
  return is_ready;
}
