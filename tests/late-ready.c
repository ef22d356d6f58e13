/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Preloaded by test-libvirt-killed-connecting: nbdkit is late at one of two
 * instants, once for each time that a file is made.  With $LATE.go, a connection
 * is about to ask for its export; with $LATE.ready, it has just got it.
 * Meanwhile the file is called $LATE.met.
 */
#include <config.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <libnbd.h>

#define LATE_S 30               /* the test kills us before */

static void
be_late (const char *instant)
{
  const char *late = getenv ("LATE");
  char armed[4096], met[4096];

  if (late
      && snprintf (armed, sizeof armed, "%s.%s", late, instant)
         < (int) sizeof armed
      && snprintf (met, sizeof met, "%s.met", late) < (int) sizeof met
      && rename (armed, met) == 0)
    sleep (LATE_S);
}

int
nbd_aio_opt_go (struct nbd_handle *nbd, nbd_completion_callback completion)
{
  int (*real) (struct nbd_handle *, nbd_completion_callback);

  *(void **) &real = dlsym (RTLD_NEXT, "nbd_aio_opt_go");
  be_late ("go");
  return real (nbd, completion);
}

int
nbd_aio_is_ready (struct nbd_handle *nbd)
{
  int (*real) (struct nbd_handle *);

  *(void **) &real = dlsym (RTLD_NEXT, "nbd_aio_is_ready");
  const int is_ready = real (nbd);
  if (is_ready == 1)
    be_late ("ready");
  return is_ready;
}
