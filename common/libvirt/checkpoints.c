/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The documents of a guest's checkpoints.  Each takes a round trip, so several
 * are asked for at once.
 */
#include <config.h>

#include <stdlib.h>

#include "libvirt/checkpoints.h"

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

void
checkpoint_list_clear (CheckpointList *list)
{
  for (int i = 0; i < list->count; i++)
    virDomainCheckpointFree (list->all[i]);
  free (list->all);
  g_clear_error (&list->failure);
  *list = (CheckpointList) { 0 };
}

void
checkpoint_list_ask (CheckpointList *list, const Hypervisor *hypervisor)
{
  list->count = virDomainListAllCheckpoints (hypervisor->domain, &list->all, 0);
  if (list->count < 0)
    hypervisor_error (&list->failure, "guest %s: cannot list its checkpoints",
                      hypervisor->domain_name);
}

bool
checkpoint_list_tell (CheckpointList *list, const Hypervisor *hypervisor,
                      guint flags, const AtOnce *beside, CheckpointHeed heed,
                      int fd, GError **error)
{
  int begin = 0;
  bool ok = true;

  if (list->failure) {
    g_propagate_error (error, g_steal_pointer (&list->failure));
    return false;
  }
  do {
    Reading reading = { .hypervisor = hypervisor, .flags = flags,
                        .all = list->all + begin,
                        .count = MIN (PART, list->count - begin) };
    const AtOnce questions[]
      = { { read_one, &reading, (guint) reading.count }, *beside };
    begin += PART;
    at_once (questions, begin >= list->count ? 2 : 1);
    ok = heed_part (&reading, heed, fd, error);
  } while (ok && begin < list->count);
  return ok;
}
