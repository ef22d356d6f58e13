/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The documents of a guest's checkpoints.  Each takes a round trip, so several
 * are asked for at once.
 */
#include <config.h>

#include <stdlib.h>

#include "libvirt/kept.h"

/* At five of one client's questions, libvirt's daemon stops to read what it sends,
 * and complains (max_client_requests).
 */
#define AT_ONCE 4
/* Each may hold a guest's definition: no more are kept than these, and the server
 * waits for one of them for a minute.
 */
#define PART 16

typedef struct {
  const Hypervisor *hypervisor;
  guint flags;
  virDomainCheckpointPtr *all;  /* of this part */
  int count;
  gint next;                    /* atomic */
  char *documents[PART];        /* NULL: it was deleted since */
  GError *failures[PART];       /* or NULL */
} Reading;

/* A thread's; libvirt's last error is the thread's, too.  One that was deleted
 * since it was listed is no failure.
 */
static gpointer
read_next (gpointer data)
{
  Reading *reading = data;
  int i;

  while ((i = g_atomic_int_add (&reading->next, 1)) < reading->count) {
    reading->documents[i]
      = virDomainCheckpointGetXMLDesc (reading->all[i], reading->flags);
    if (!reading->documents[i]
        && virGetLastErrorCode () != VIR_ERR_NO_DOMAIN_CHECKPOINT)
      hypervisor_error (&reading->failures[i],
                        "guest %s: cannot read its checkpoint %s",
                        reading->hypervisor->domain_name,
                        virDomainCheckpointGetName (reading->all[i]));
  }
  return NULL;
}

/* Where there are no threads left, we read alone. */
static void
read_part (Reading *reading)
{
  GThread *helpers[AT_ONCE - 1] = { NULL };

  for (int i = 0; i < AT_ONCE - 1 && i < reading->count - 1; i++)
    helpers[i] = g_thread_try_new ("checkpoints", read_next, reading, NULL);
  read_next (reading);
  for (int i = 0; i < AT_ONCE - 1; i++)
    if (helpers[i])
      g_thread_join (helpers[i]);
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
hypervisor_checkpoints (const Hypervisor *hypervisor, guint flags,
                        CheckpointHeed heed, int fd, GError **error)
{
  virDomainCheckpointPtr *all = NULL;
  const int count
    = virDomainListAllCheckpoints (hypervisor->domain, &all, 0);
  bool ok = count >= 0
    || hypervisor_error (error, "guest %s: cannot list its checkpoints",
                         hypervisor->domain_name);

  for (int begin = 0; ok && begin < count; begin += PART) {
    Reading reading = { .hypervisor = hypervisor, .flags = flags, .all = all + begin,
                        .count = MIN (PART, count - begin) };
    read_part (&reading);
    ok = heed_part (&reading, heed, fd, error);
  }
  for (int i = 0; i < count; i++)
    virDomainCheckpointFree (all[i]);
  free (all);
  return ok;
}
