/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The documents of a guest's checkpoints.  Each takes a round trip, so several
 * are asked for at once.
 */
#include <config.h>

#include <stdlib.h>

#include "libvirt/at-once.h"
#include "libvirt/kept.h"

/* Each may hold a guest's definition: no more are kept than these, and the server
 * waits for one of them for a minute.
 */
#define PART 16

typedef struct {
  const Hypervisor *hypervisor;
  guint flags;
  virDomainCheckpointPtr *all;  /* of this part */
  int count;
  char *documents[PART];        /* NULL: it was deleted since */
  GError *failures[PART];       /* or NULL */
} Reading;

/* An AtOnceAsk.  One that was deleted since it was listed is no failure. */
static void
read_one (void *opaque, guint which)
{
  Reading *reading = opaque;

  reading->documents[which]
    = virDomainCheckpointGetXMLDesc (reading->all[which], reading->flags);
  if (!reading->documents[which]
      && virGetLastErrorCode () != VIR_ERR_NO_DOMAIN_CHECKPOINT)
    hypervisor_error (&reading->failures[which],
                      "guest %s: cannot read its checkpoint %s",
                      reading->hypervisor->domain_name,
                      virDomainCheckpointGetName (reading->all[which]));
}

static bool
heed_part (Reading *reading, CheckpointHeed heed, int fd, GError **error)
{
  bool ok = true;

  for (int i = 0; i < reading->count; i++) {
    g_autofree char *document = reading->documents[i];
    g_autoptr (GError) failure = reading->failures[i];
    if (ok && failure) {
      g_propagate_error (error, g_steal_pointer (&failure));
      ok = false;
    }
    ok = ok && (!document || heed (fd, document, error));
  }
  return ok;
}

bool
hypervisor_checkpoints (Hypervisor *hypervisor, guint flags,
                        CheckpointHeed heed, int fd, GError **error)
{
  virDomainCheckpointPtr *all = NULL;
  const int count
    = virDomainListAllCheckpoints (hypervisor->domain, &all, 0);
  bool ok = count >= 0
    || hypervisor_error (error, "guest %s: cannot list its checkpoints",
                         hypervisor->domain_name);

  life_note_answers (hypervisor, 1);
  for (int begin = 0; ok && begin < count; begin += PART) {
    Reading reading = { .hypervisor = hypervisor, .flags = flags, .all = all + begin,
                        .count = MIN (PART, count - begin) };
    at_once (read_one, &reading, (guint) reading.count);
    life_note_answers (hypervisor, (guint) reading.count);
    ok = heed_part (&reading, heed, fd, error);
  }
  for (int i = 0; i < count; i++)
    virDomainCheckpointFree (all[i]);
  free (all);
  return ok;
}
