/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Preloaded into qemu-checkpoint by tests that need an instant which is rare:
 * once for a file $HELD.create, a call of virDomainCheckpointCreateXML waits
 * before it is made, and for $HELD.created, after it; likewise delete,
 * deleted, looked (after virDomainGetXMLDesc) and frozen (after
 * virDomainFSFreeze).  From then on the file is called $HELD.met, and the call
 * goes on when that is removed.
 */
#include <config.h>

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HELD_S 60               /* the test goes on, or ends us, before */
#define POLL_US 10000

static void
hold_at (const char *instant)
{
  const char *held = getenv ("HELD");
  char armed[4096], met[4096];

  if (!held
      || snprintf (armed, sizeof armed, "%s.%s", held, instant)
         >= (int) sizeof armed
      || snprintf (met, sizeof met, "%s.met", held) >= (int) sizeof met
      || rename (armed, met) < 0)
    return;
  for (int i = 0; i < HELD_S * 1000000 / POLL_US && access (met, F_OK) == 0;
       i++)
    usleep (POLL_US);
}

/* Of libvirt, without its types: it may be built without. */
void *virDomainCheckpointCreateXML (void *, const char *, unsigned);
int virDomainCheckpointDelete (void *, unsigned);
int virDomainFSFreeze (void *, const char **, unsigned, unsigned);
char *virDomainGetXMLDesc (void *, unsigned);

void *
virDomainCheckpointCreateXML (void *domain, const char *text, unsigned flags)
{
  void *(*real) (void *, const char *, unsigned);

  *(void **) &real = dlsym (RTLD_NEXT, "virDomainCheckpointCreateXML");
  hold_at ("create");
  void *made = real (domain, text, flags);
  hold_at ("created");
  return made;
}

int
virDomainCheckpointDelete (void *checkpoint, unsigned flags)
{
  int (*real) (void *, unsigned);

  *(void **) &real = dlsym (RTLD_NEXT, "virDomainCheckpointDelete");
  hold_at ("delete");
  const int status = real (checkpoint, flags);
  hold_at ("deleted");
  return status;
}

int
virDomainFSFreeze (void *domain, const char **points, unsigned count,
                   unsigned flags)
{
  int (*real) (void *, const char **, unsigned, unsigned);

  *(void **) &real = dlsym (RTLD_NEXT, "virDomainFSFreeze");
  const int status = real (domain, points, count, flags);
  hold_at ("frozen");
  return status;
}

char *
virDomainGetXMLDesc (void *domain, unsigned flags)
{
  char *(*real) (void *, unsigned);

  *(void **) &real = dlsym (RTLD_NEXT, "virDomainGetXMLDesc");
  char *text = real (domain, flags);
  hold_at ("looked");
  return text;
}
