/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What ends the job under the keeper's hands, and which words say so.
 */
#include <config.h>

#include <string.h>
#include <unistd.h>

#include "libvirt/at-once.h"
#include "libvirt/kept.h"

/* A guest whose QEMU answers does not stop; one whose QEMU is silent has this
 * long to be off.
 */
#define STOPS_WITHIN_MS 10000
#define RECHECKS 4
/* Each keeps whoever reads first waiting for a round trip. */
#define RECHECK_AFTER_MS 500

static const char connection_lost[]
  = "the connection to libvirt was lost (did its daemon restart?)";

/* What is told before the job was seen to live, may be of one before. */
static void
note_early (KeptJob *kept)
{
  if (kept->telling->life == JOB_BEGINNING)
    kept->heard_early = true;
}

static void
lose (KeptJob *kept, const char *why)
{
  note_early (kept);
  telling_lose (kept->telling, why);
}

/* In any thread that asks libvirt something (at_once). */
static void
on_closed (virConnectPtr connection G_GNUC_UNUSED, int reason, void *opaque)
{
  lose (opaque, reason == VIR_CONNECT_CLOSE_REASON_KEEPALIVE
        ? "libvirt's daemon does not answer any more" : connection_lost);
}

static int
on_lifecycle (virConnectPtr connection G_GNUC_UNUSED,
              virDomainPtr domain G_GNUC_UNUSED, int event, int detail,
              void *opaque)
{
  KeptJob *kept = opaque;

  if (event == VIR_DOMAIN_EVENT_STOPPED)
    lose (kept, detail == VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN
          ? "the guest was shut down"
          : detail == VIR_DOMAIN_EVENT_STOPPED_DESTROYED
          ? "the guest was destroyed"
          : detail == VIR_DOMAIN_EVENT_STOPPED_MIGRATED
          ? "the guest was migrated away"
          : "the guest stopped");
  else if (event == VIR_DOMAIN_EVENT_CRASHED)
    lose (kept, "the guest crashed");
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
lose_job (KeptJob *kept, const char *reason)
{
  if (stops_shortly (&kept->hypervisor))
    telling_lose (kept->telling, "the guest stopped");
  else if (reason && !strstr (reason, "ancel")) {
    g_autofree char *text
      = g_strdup_printf ("libvirt ended the backup job: %s", reason);
    telling_lose (kept->telling, text);
  }
  else
    telling_lose (kept->telling,
                  "somebody ended the backup job (virsh domjobabort?)");
}

/* The event may be a late one of a job before ours. */
static void
on_job_completed (virConnectPtr connection G_GNUC_UNUSED, virDomainPtr domain,
                  virTypedParameterPtr params, int n_params, void *opaque)
{
  KeptJob *kept = opaque;
  const char *reason = NULL;

  note_early (kept);
  if (kept->telling->life != JOB_RUNNING)
    return;
  if (job_is_running (&kept->job, domain)) {
    watch_look_again (kept);
    return;
  }
  virTypedParamsGetString (params, n_params, VIR_DOMAIN_JOB_ERRMSG, &reason);
  lose_job (kept, reason);
}

void
watch_notice_loss (void *job)
{
  KeptJob *kept = job;

  if (kept->telling->life != JOB_RUNNING)
    return;
  if (virConnectIsAlive (kept->hypervisor.connection) != 1)
    telling_lose (kept->telling, connection_lost);
  else if (!job_is_running (&kept->job, kept->hypervisor.domain))
    lose_job (kept, NULL);
}

void
watch_look_again (KeptJob *kept)
{
  kept->rechecks = RECHECKS;
  kept->recheck_at = g_get_monotonic_time () + RECHECK_AFTER_MS * 1000LL;
}

void
watch_doubt (void *job, const char *why)
{
  KeptJob *kept = job;

  if (telling_is_lost (kept->telling) || kept->doubt)
    return;
  kept->doubt = g_strdup (why);
  watch_look_again (kept);
}

void
watch_recheck (KeptJob *kept)
{
  if (kept->rechecks == 0 || g_get_monotonic_time () < kept->recheck_at)
    return;
  kept->rechecks--;
  watch_notice_loss (kept);
  if (kept->rechecks == 0 && kept->doubt)
    telling_lose (kept->telling, kept->doubt);
}

static bool
watch_closing (KeptJob *kept)
{
  Hypervisor *hypervisor = &kept->hypervisor;

  if (!hypervisor->tells_of_closing)
    hypervisor->tells_of_closing
      = virConnectRegisterCloseCallback (hypervisor->connection, on_closed, kept,
                                         NULL) == 0;
  return hypervisor->tells_of_closing;
}

/* Ask for an event, unless *id says that it was; false if it cannot be had. */
static bool
watch_event (KeptJob *kept, int event,
             virConnectDomainEventGenericCallback callback, int *id)
{
  if (*id < 0)
    *id = virConnectDomainEventRegisterAny (kept->hypervisor.connection,
                                            kept->hypervisor.domain, event,
                                            callback, kept, NULL);
  return *id >= 0;
}

static bool
watch_lifecycle (KeptJob *kept)
{
  return watch_event (kept, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                      VIR_DOMAIN_EVENT_CALLBACK (on_lifecycle),
                      &kept->hypervisor.lifecycle_id);
}

static bool
watch_completed (KeptJob *kept)
{
  return watch_event (kept, VIR_DOMAIN_EVENT_ID_JOB_COMPLETED,
                      VIR_DOMAIN_EVENT_CALLBACK (on_job_completed),
                      &kept->hypervisor.completed_id);
}

/* An old daemon is not asked to tell of its closing.  QEMU's events come last: of a
 * job that had ended before, the daemon then has nothing more to tell (life_begin).
 */
static bool (*const watches[]) (KeptJob *kept)
  = { watch_closing, watch_lifecycle, watch_completed, life_watch };

void
watch_ask_early (void *kept, guint which)
{
  watches[which] (kept);
}

void
watch_ask_late (void *kept, guint which)
{
  if (which == 0)
    owner_ask (&((KeptJob *) kept)->hypervisor);
  else
    watches[WATCH_EARLY + which - 1] (kept);
}

/* An AtOnceAsk. */
static void
watch_one (void *opaque, guint which)
{
  watches[which] (opaque);
}

static bool
is_watched (const Hypervisor *hypervisor)
{
  return hypervisor->tells_of_closing && hypervisor->lifecycle_id >= 0
    && hypervisor->completed_id >= 0 && hypervisor->status_id >= 0;
}

/* Again one after another, which asks only for what is missing, and sees why. */
static bool
watch_all (KeptJob *kept)
{
  const AtOnce questions = { watch_one, kept, G_N_ELEMENTS (watches) };
  bool ok = true;

  if (!is_watched (&kept->hypervisor))
    at_once (&questions, 1);
  for (guint i = 0; ok && i < G_N_ELEMENTS (watches); i++)
    ok = watches[i] (kept);
  return ok;
}

bool
watch_begin (KeptJob *kept, GError **error)
{
  Hypervisor *hypervisor = &kept->hypervisor;

  if (hypervisor->watched || watch_all (kept))
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
watch_end (KeptJob *kept)
{
  Hypervisor *hypervisor = &kept->hypervisor;

  life_unwatch (kept);
  unwatch_event (hypervisor, &hypervisor->completed_id);
  unwatch_event (hypervisor, &hypervisor->lifecycle_id);
  if (hypervisor->tells_of_closing)
    virConnectUnregisterCloseCallback (hypervisor->connection, on_closed);
  hypervisor->tells_of_closing = false;
  hypervisor->watched = false;
}
