/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Preloaded into nbdkit by tests that need an instant which is rare: once for each
 * time that a file is made, nbdkit is late.  With $LATE.go, a connection is about
 * to ask for its export; with $LATE.ready, it has just got it.  With $LATE.deaf, it
 * is told of no jobs by libvirt; with $LATE.deaf-again, on the next connection.  From
 * then on the file is called $LATE.met, and a connection goes on when the test has
 * removed it.  With $LATE.fork, the server of --run is killed as it is forked.
 *
 * Where there is a file $LATE.recv, nbdkit is late at first when it takes what a
 * server sent, so that all is there by then.
 */
#include <config.h>

#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <libnbd.h>

#define LATE_MOST_S 30          /* the test kills us before, or lets us go on */
#define POLL_US 50000
#define LATE_RECV_US 100000
#define LATE_RECVS 30           /* the first connection, and more of its TLS */

static bool
is_armed (const char *instant)
{
  const char *late = getenv ("LATE");
  char armed[4096], met[4096];

  return late
    && snprintf (armed, sizeof armed, "%s.%s", late, instant)
       < (int) sizeof armed
    && snprintf (met, sizeof met, "%s.met", late) < (int) sizeof met
    && rename (armed, met) == 0;
}

static void
be_late (void)
{
  char met[4096];

  snprintf (met, sizeof met, "%s.met", getenv ("LATE"));
  for (int i = 0; i < LATE_MOST_S * 1000000 / POLL_US
       && access (met, F_OK) == 0; i++)
    usleep (POLL_US);
}

static bool has_connected;

int
nbd_aio_opt_go (struct nbd_handle *nbd, nbd_completion_callback completion)
{
  int (*real) (struct nbd_handle *, nbd_completion_callback);

  *(void **) &real = dlsym (RTLD_NEXT, "nbd_aio_opt_go");
  has_connected = true;
  if (is_armed ("go"))
    be_late ();
  return real (nbd, completion);
}

int
nbd_aio_is_ready (struct nbd_handle *nbd)
{
  int (*real) (struct nbd_handle *);

  *(void **) &real = dlsym (RTLD_NEXT, "nbd_aio_is_ready");
  const int is_ready = real (nbd);
  if (is_ready == 1 && is_armed ("ready"))
    be_late ();
  return is_ready;
}

ssize_t
recv (int fd, void *bytes, size_t length, int flags)
{
  ssize_t (*real) (int, void *, size_t, int);
  static atomic_int count;
  const char *late = getenv ("LATE");
  char file[4096];

  *(void **) &real = dlsym (RTLD_NEXT, "recv");
  if (late && atomic_fetch_add (&count, 1) < LATE_RECVS
      && snprintf (file, sizeof file, "%s.recv", late) < (int) sizeof file
      && access (file, F_OK) == 0)
    usleep (LATE_RECV_US);
  return real (fd, bytes, length, flags);
}

/* Once the job is there, the next fork is nbdkit's own, of the server. */
pid_t
fork (void)
{
  pid_t (*real) (void);

  *(void **) &real = dlsym (RTLD_NEXT, "fork");
  const bool armed = has_connected && is_armed ("fork");
  const pid_t pid = real ();
  if (pid == 0 && armed)
    raise (SIGKILL);
  return pid;
}

/* Of libvirt-qemu, without its types: it may be built without. */
int virConnectDomainQemuMonitorEventRegister (void *, void *, const char *,
                                              void *, void *, void *,
                                              unsigned);

int
virConnectDomainQemuMonitorEventRegister (void *connection, void *domain,
                                          const char *event, void *callback,
                                          void *opaque, void *release,
                                          unsigned flags)
{
  int (*real) (void *, void *, const char *, void *, void *, void *, unsigned);

  *(void **) &real
    = dlsym (RTLD_NEXT, "virConnectDomainQemuMonitorEventRegister");
  const bool deaf = is_armed ("deaf") || is_armed ("deaf-again");
  return real (connection, domain, deaf ? "NEVER" : event, callback, opaque,
               release, flags);
}
