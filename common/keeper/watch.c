/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What ends the job under the keeper's hands, and which words say so.
 */
#include <config.h>

#include <string.h>
#include <unistd.h>

#include "keeper/process.h"

/* A guest whose QEMU answers does not stop; one whose QEMU is silent has this
 * long to be off.
 */
#define STOPS_WITHIN_MS 10000
#define RECHECKS 4

static void
lose (Process *process, const char *why)
{
  if (!process->job.begun || process->lost)
    return;
  process->lost = true;
  process_tell (process, KEEPER_LOST, why, NULL);
}

static const char connection_lost[]
  = "the connection to libvirt was lost (did its daemon restart?)";

static void
on_closed (virConnectPtr connection, int reason, void *opaque)
{
  (void) connection;
  lose (opaque, reason == VIR_CONNECT_CLOSE_REASON_KEEPALIVE
        ? "libvirt's daemon does not answer any more" : connection_lost);
}

static int
on_lifecycle (virConnectPtr connection, virDomainPtr domain, int event,
              int detail, void *opaque)
{
  Process *process = opaque;

  (void) connection;
  (void) domain;
  if (event == VIR_DOMAIN_EVENT_STOPPED)
    lose (process, detail == VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN
          ? "the guest was shut down"
          : detail == VIR_DOMAIN_EVENT_STOPPED_DESTROYED
          ? "the guest was destroyed"
          : detail == VIR_DOMAIN_EVENT_STOPPED_MIGRATED
          ? "the guest was migrated away"
          : "the guest stopped");
  else if (event == VIR_DOMAIN_EVENT_CRASHED)
    lose (process, "the guest crashed");
  return 0;
}

/* A guest that ends by itself ends the job first, and is off a moment later:
 * how long, depends on how busy the machine is.  But QEMU answers no command
 * any more once it ends.
 */
static bool
stops_shortly (const Hypervisor *hypervisor)
{
  const gint64 deadline = g_get_monotonic_time () + STOPS_WITHIN_MS * 1000LL;

  while (!hypervisor_guest_is_off (hypervisor)) {
    if (hypervisor_guest_answers (hypervisor)
        || g_get_monotonic_time () > deadline)
      return false;
    g_usleep (10000);
  }
  return true;
}

/* The job does not run any more.  libvirt's reason is NULL if it gave none. */
static void
lose_job (Process *process, const char *reason)
{
  if (stops_shortly (&process->hypervisor))
    lose (process, "the guest stopped");
  else if (reason && !strstr (reason, "ancel")) {
    g_autofree char *text
      = g_strdup_printf ("libvirt ended the backup job: %s", reason);
    lose (process, text);
  }
  else
    lose (process, "somebody ended the backup job (virsh domjobabort?)");
}

/* The event may be a late one of a job before ours. */
static void
on_job_completed (virConnectPtr connection, virDomainPtr domain,
                  virTypedParameterPtr params, int n_params, void *opaque)
{
  Process *process = opaque;
  const char *reason = NULL;

  (void) connection;
  if (!process->job.begun || process->lost)
    return;
  if (job_is_running (&process->job, domain)) {
    process_look_again (process);
    return;
  }
  virTypedParamsGetString (params, n_params, VIR_DOMAIN_JOB_ERRMSG, &reason);
  lose_job (process, reason);
}

void
process_notice_loss (Process *process)
{
  if (!process->job.begun || process->lost)
    return;
  if (virConnectIsAlive (process->hypervisor.connection) != 1)
    lose (process, connection_lost);
  else if (!job_is_running (&process->job, process->hypervisor.domain))
    lose_job (process, NULL);
}

void
process_look_again (Process *process)
{
  process->rechecks = RECHECKS;
}

void
process_doubt (Process *process, const char *why)
{
  if (process->lost || process->doubt)
    return;
  process->doubt = g_strdup (why);
  process_look_again (process);
}

void
process_recheck (Process *process)
{
  if (process->rechecks == 0)
    return;
  process->rechecks--;
  process_notice_loss (process);
  if (process->rechecks == 0 && process->doubt)
    lose (process, process->doubt);
}

/* Ask for an event, unless *id says that it was; false if it cannot be had. */
static bool
watch_event (Process *process, int event,
             virConnectDomainEventGenericCallback callback, int *id)
{
  if (*id < 0)
    *id = virConnectDomainEventRegisterAny (process->hypervisor.connection,
                                            process->hypervisor.domain, event,
                                            callback, process, NULL);
  return *id >= 0;
}

bool
process_watch_guest (Process *process, GError **error)
{
  Hypervisor *hypervisor = &process->hypervisor;

  if (hypervisor->watched
      || (virConnectRegisterCloseCallback (hypervisor->connection, on_closed,
                                           process, NULL) == 0
          && watch_event (process, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                          VIR_DOMAIN_EVENT_CALLBACK (on_lifecycle),
                          &hypervisor->lifecycle_id)
          && watch_event (process, VIR_DOMAIN_EVENT_ID_JOB_COMPLETED,
                          VIR_DOMAIN_EVENT_CALLBACK (on_job_completed),
                          &hypervisor->completed_id)
          && life_watch (process)))
    return hypervisor->watched = true;
  return hypervisor_error (error, "guest %s: cannot be told of its events",
                           hypervisor->domain_name);
}

static void
unwatch_event (const Hypervisor *hypervisor, int *id)
{
  if (*id >= 0)
    virConnectDomainEventDeregisterAny (hypervisor->connection, *id);
  *id = -1;
}

void
process_unwatch_guest (Process *process)
{
  Hypervisor *hypervisor = &process->hypervisor;

  life_unwatch (process);
  unwatch_event (hypervisor, &hypervisor->completed_id);
  unwatch_event (hypervisor, &hypervisor->lifecycle_id);
  virConnectUnregisterCloseCallback (hypervisor->connection, on_closed);
  hypervisor->watched = false;
}
