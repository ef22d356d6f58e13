/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Does the backup still hold, as QEMU itself tells?  QEMU has a job for each
 * disk, and an event, JOB_STATUS_CHANGE, for each step of its life; libvirt
 * hands such events on as they are.
 *
 * Facts: QEMU tells that a job is aborting, or pending, before the job lets go
 * of its disk (job.c, job_finalize_single_locked, of 7.2 and 10.0), and its
 * monitor tells events and answers in order.  libvirt queues an event before
 * it hears what QEMU says next (qemu_process.c, qemuProcessHandleEvent, of 9.0
 * and 11.3), and calls the job backup-TARGET-NODE (qemu_blockjob.c).  A speed
 * set for the job would be a shorter proof, but since libvirt 11.1 a backup
 * keeps that call waiting.
 *
 * Limit: with libvirt's access driver polkit, an event that polkit does not let
 * through is dropped.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <libvirt/libvirt-qemu.h>

#include "base/error.h"
#include "base/json-text.h"
#include "libvirt/at-once.h"
#include "libvirt/backup-xml.h"
#include "libvirt/kept.h"

/* What libvirt's daemon has heard before it answered a question is sent by its
 * main loop in the turn that writes the answer, or in the next that does anything.
 * Two questions that were asked after that answer may be read, and answered, before:
 * one a turn, and with encryption by SASL one more that was decoded already
 * (virNetServerClientDispatchRead and -SockTimerFunc, of 9.0 and 11.3; that does not
 * happen if the second was asked after the answer to the first).  So a round is
 * enough: two questions that follow each other, or three at once; answers and events
 * leave in the order in which they were made.  A daemon between (virtproxyd) hears of
 * the event before a round is answered, and takes another, of which no question was
 * asked before.
 */
#define ASKED_AT_ONCE 3
#define FOLLOWING 2
#define ROUNDS 2

#define MOVES_WITHIN_MS 5000
#define MOVES_POLL_MS 10

static bool
is_at_work (const char *status)
{
  static const char *const states[]
    = { "created", "running", "paused", "ready", "standby", NULL };

  return g_strv_contains (states, status);
}

/* Once over, always over: a later job of the same name is not ours. */
static void
note_status (GHashTable *alive, const char *id, const char *status)
{
  const bool works = is_at_work (status);

  if (!works || !g_hash_table_contains (alive, id))
    g_hash_table_insert (alive, g_strdup (id), GINT_TO_POINTER (works));
}

static void
on_job_status (virConnectPtr connection G_GNUC_UNUSED,
               virDomainPtr domain G_GNUC_UNUSED,
               const char *event G_GNUC_UNUSED,
               long long seconds G_GNUC_UNUSED,
               unsigned int micros G_GNUC_UNUSED, const char *details,
               void *opaque)
{
  KeptJob *kept = opaque;
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonObject *object = details
    ? json_text_parse (parser, details, strlen (details)) : NULL;
  const char *id = json_text_string (object, "id", NULL);
  const char *status = json_text_string (object, "status", NULL);

  if (!kept->job.alive)
    return;
  if (id && status)
    note_status (kept->job.alive, id, status);
  else                          /* whose was it? */
    kept->job.unsure = true;
}

bool
life_watch (KeptJob *kept)
{
  Hypervisor *hypervisor = &kept->hypervisor;

  if (hypervisor->status_id < 0)
    hypervisor->status_id = virConnectDomainQemuMonitorEventRegister (
      hypervisor->connection, hypervisor->domain, "JOB_STATUS_CHANGE",
      on_job_status, kept, NULL, 0);
  return hypervisor->status_id >= 0;
}

void
life_unwatch (KeptJob *kept)
{
  Hypervisor *hypervisor = &kept->hypervisor;

  if (hypervisor->status_id >= 0)
    virConnectDomainQemuMonitorEventDeregister (hypervisor->connection,
                                                hypervisor->status_id);
  hypervisor->status_id = -1;
}

static void
on_turn (int timer G_GNUC_UNUSED, void *opaque)
{
  int *turns = opaque;

  --*turns;
}

/* What libvirt's client has read, it hands on in the loop's next turn; the
 * second is for safety.
 */
static bool
turn_loop (void)
{
  int turns = 2;
  const int timer = virEventAddTimeout (0, on_turn, &turns, NULL);

  while (timer >= 0 && turns > 0 && virEventRunDefaultImpl () == 0)
    ;
  if (timer >= 0)
    virEventRemoveTimeout (timer);
  return timer >= 0 && turns <= 0;
}

typedef struct {
  virConnectPtr connection;
  gint failed;                  /* atomic */
} Round;

static bool
ask_daemon (virConnectPtr connection)
{
  unsigned long version;

  return virConnectGetLibVersion (connection, &version) == 0;
}

/* An AtOnceAsk. */
static void
ask_in_round (void *opaque, guint which G_GNUC_UNUSED)
{
  Round *round = opaque;

  if (!ask_daemon (round->connection))
    g_atomic_int_set (&round->failed, true);
}

/* Nearby, threads take longer than a second round trip.  If one of those at once
 * failed: libvirt's error belongs to the thread that asked, so this one asks again.
 */
static bool
ask_round (const Hypervisor *hypervisor)
{
  Round round = { .connection = hypervisor->connection };
  bool ok = true;

  if (hypervisor->remote) {
    at_once (&(AtOnce) { ask_in_round, &round, ASKED_AT_ONCE }, 1);
    if (!round.failed)
      return true;
  }
  for (guint i = 0; ok && i < FOLLOWING; i++)
    ok = ask_daemon (hypervisor->connection);
  return ok;
}

/* Hear what libvirt's daemon had read from QEMU before this was called. */
static bool
hear_daemon (const Hypervisor *hypervisor)
{
  for (guint rounds = 0; rounds < ROUNDS; rounds++)
    if (!ask_round (hypervisor))
      return false;
  return turn_loop ();
}

static const char not_told[] = "QEMU has not told of a backup job of ours";
static const char no_job[]
  = "libvirt knows of no backup job of ours any more";
static const char not_moved[] = "QEMU does not run our backup job";
static const char has_ended[] = "QEMU tells that our backup job has ended";

/* Hear what QEMU has told before this was called, if libvirt knows of a backup
 * of that disk: QEMU is then asked for its figures.  (virDomainGetJobStats would
 * ask as well, but could crash libvirt before 10.8 as a job ended.)  libvirt
 * says 0 of 1 of a job that has not run yet (qemuBlockJobInfoTranslate of 11.3),
 * but also of one of which QEMU does not know any more.  *why: why that job is
 * not at work; NULL if its figures show that it is.
 */
static bool
hear_qemu (const Hypervisor *hypervisor, const char *target, const char **why)
{
  virDomainBlockJobInfo figures = { 0 };
  const int told = virDomainGetBlockJobInfo (hypervisor->domain, target,
                                             &figures, 0);

  *why = told <= 0 || figures.type != VIR_DOMAIN_BLOCK_JOB_TYPE_BACKUP
    ? no_job : figures.cur == 0 && figures.end == 1 ? not_moved : NULL;
  return told >= 0 && hear_daemon (hypervisor);
}

/* libvirt knows of the end of a job after QEMU has told of it, and tells of it at once,
 * to those who have asked by then.  So there is nothing to wait for if it knew of no job
 * as we asked for events.  If one ended in that very moment, or another program's has
 * begun and ended since, we may take its end for ours: then ours is begun again
 * (code_of), or refused.
 */
bool
life_begin (Job *job, Hypervisor *hypervisor, GError **error)
{
  const bool hears_late = hypervisor->hears_late;

  hypervisor->hears_late = false; /* for one beginning */
  if (hears_late ? !hear_daemon (hypervisor) : !turn_loop ())
    return hypervisor_error (error, "guest %s: its jobs cannot be watched",
                             hypervisor->domain_name);
  job->unsure = false;
  g_clear_pointer (&job->alive, g_hash_table_unref);
  job->alive = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  return true;
}

/* NULL if QEMU has told of a job of that disk, and of the end of none. */
static const char *
why_not_alive (const Job *job, const char *target)
{
  g_autofree char *prefix = g_strdup_printf ("backup-%s-", target);
  GHashTableIter iter;
  gpointer id, value;
  bool found = false;

  g_hash_table_iter_init (&iter, job->alive);
  while (g_hash_table_iter_next (&iter, &id, &value)) {
    if (!g_str_has_prefix (id, prefix))
      continue;
    if (!value)
      return has_ended;
    found = true;
  }
  return !found ? not_told
    : job->unsure ? "QEMU tells of jobs in a way that is not understood" : NULL;
}

/* Where libvirt sees a job: what would be so if it told nothing, or told late of a
 * job before.
 */
static int
code_of (const char *why)
{
  return why == not_told || why == has_ended ? ENOMSG : EIO;
}

KeeperLife
life_look (const Job *job, const Hypervisor *hypervisor, const char *target,
           GError **error)
{
  const gint64 deadline = g_get_monotonic_time () + MOVES_WITHIN_MS * 1000LL;
  const char *why = NULL, *why_not_moved;

  /* The job runs in the disk's iothread, which may be busy. */
  do {
    if (why)
      g_usleep (MOVES_POLL_MS * 1000);
    if (!hear_qemu (hypervisor, target, &why_not_moved)) {
      const bool busy = virGetLastErrorCode () == VIR_ERR_OPERATION_TIMEOUT;
      hypervisor_error (error, "disk %s", target);
      return busy ? KEEPER_UNKNOWN : KEEPER_DEAD;
    }
    why = why_not_alive (job, target);
    if (!why)
      why = why_not_moved;
  } while (why == not_moved && g_get_monotonic_time () < deadline);
  if (!why)
    return KEEPER_ALIVE;
  error_set (error, why_not_moved == no_job ? EIO : code_of (why),
             "disk %s: %s", target, why);
  return KEEPER_DEAD;
}

bool
life_is_told (const Job *job, const char *xml)
{
  g_autoptr (Backup) backup = backup_parse (xml, strlen (xml), NULL);
  bool is_told = backup && turn_loop ();

  for (guint i = 0; is_told && i < backup->disks->len; i++) {
    const BackupDisk *disk = g_ptr_array_index (backup->disks, i);
    is_told = !why_not_alive (job, disk->target);
  }
  return is_told;
}

/* One question lets all be heard that QEMU has told of any disk's job. */
bool
life_look_at_all (const Job *job, const Hypervisor *hypervisor,
                  const char *xml, GError **error)
{
  g_autoptr (Backup) backup = backup_parse (xml, strlen (xml), error);
  g_autoptr (GError) reason = NULL;

  for (guint i = 0; backup && !reason && i < backup->disks->len; i++) {
    const BackupDisk *disk = g_ptr_array_index (backup->disks, i);
    const char *why = i > 0 ? why_not_alive (job, disk->target) : NULL;
    if (i == 0)
      life_look (job, hypervisor, disk->target, &reason);
    else if (why)
      error_set (&reason, code_of (why), "disk %s: %s", disk->target, why);
  }
  if (!reason)
    return backup != NULL;
  return error_set (error, reason->code, "guest %s: the backup began, but that "
                    "it lives cannot be seen, so nothing that is read could be "
                    "trusted: %s", hypervisor->domain_name, reason->message);
}
