/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The keeper's table for jobs of libvirt's, and its loop, which is libvirt's
 * own: calls and events of one connection must share a thread, once events are
 * asked for (watch_begin).
 */
#include <config.h>

#include <errno.h>
#include <unistd.h>

#include "base/error.h"
#include "libvirt/guest.h"
#include "libvirt/kept.h"

/* libvirt would print every error. */
static void
be_silent (void *opaque G_GNUC_UNUSED, virErrorPtr error G_GNUC_UNUSED)
{
}

static void *
kept_new (Telling *telling)
{
  KeptJob *kept = g_new0 (KeptJob, 1);

  kept->telling = telling;
  kept->hypervisor = (Hypervisor) HYPERVISOR_INIT;
  kept->job = (Job) JOB_INIT;
  virSetErrorFunc (NULL, be_silent);
  if (virInitialize () == 0 && virEventRegisterDefaultImpl () == 0)
    return kept;
  g_free (kept);
  return NULL;
}

/* ── The loop ── */

typedef struct {
  KeeperCallback heed;
  void *opaque;
} Call;

static void
on_fd (int watch G_GNUC_UNUSED, int fd G_GNUC_UNUSED,
       int events G_GNUC_UNUSED, void *opaque)
{
  const Call *call = opaque;

  call->heed (call->opaque);
}

static void
on_clock (int timer G_GNUC_UNUSED, void *opaque)
{
  const Call *call = opaque;

  call->heed (call->opaque);
}

static bool
add_fd (int fd, KeeperCallback heed, void *opaque)
{
  const Call call = { heed, opaque };

  return virEventAddHandle (fd, VIR_EVENT_HANDLE_READABLE
                            | VIR_EVENT_HANDLE_HANGUP, on_fd,
                            g_memdup2 (&call, sizeof call), g_free) >= 0;
}

static bool
add_clock (int interval_ms, KeeperCallback heed, void *opaque)
{
  const Call call = { heed, opaque };

  return virEventAddTimeout (interval_ms, on_clock,
                             g_memdup2 (&call, sizeof call), g_free) >= 0;
}

static bool
turn (void)
{
  return virEventRunDefaultImpl () == 0;
}

/* ── The job ── */

static bool
look (void *opaque, const Message *message)
{
  KeptJob *kept = opaque;
  g_autoptr (GError) error = NULL;
  const bool ok = hypervisor_look (kept, message, &error);

  if (!ok)
    telling_say_failed (kept->telling, error);
  alarm (0);
  return ok;
}

static bool
begin_once (KeptJob *kept, const Message *message, char **xml, char **broken,
            GError **error)
{
  return watch_begin (kept, error)
    && job_begin (kept, (const char *const *) message->texts, xml, broken,
                  error);
}

/* libvirt's daemon (9.0) may tell nobody of any event, for as long as
 * anybody is registered: virObjectEventStateQueueRemote looks at its timer without
 * the lock, and if the last one unregisters just then, an event stays in the queue
 * that was to start the timer (3 of 1,300 beginnings on a busy machine).  If we are
 * the only one, to register anew empties the queue.
 */
static bool
begin_again (KeptJob *kept, const Message *message, char **xml, char **broken,
             GError **error)
{
  watch_end (kept);
  kept->hypervisor.hears_late = true;
  g_clear_error (error);
  return begin_once (kept, message, xml, broken, error);
}

static bool
begin (void *opaque, const Message *message, char **broken, GError **error)
{
  KeptJob *kept = opaque;
  g_autofree char *xml = NULL;

  if (!begin_once (kept, message, &xml, broken, error)
      && ((*error)->code != ENOMSG
          || !begin_again (kept, message, &xml, broken, error)))
    return false;
  telling_say (kept->telling, KEEPER_BEGUN, xml, NULL);
  return true;
}

static KeeperLife
prove (void *opaque, const char *target, GError **error)
{
  KeptJob *kept = opaque;

  return life_look (&kept->job, &kept->hypervisor, target, error);
}

static void
look_at_scratch (KeptJob *kept)
{
  guint64 used, left;
  const char *tightest;

  if (!job_scratch (&kept->job, &used, &left, &tightest))
    return;
  g_autofree char *folder = g_path_get_dirname (tightest);
  scratch_watch_tell (&kept->scratch, kept->telling, used, left, folder);
}

static void
look_after (void *opaque)
{
  KeptJob *kept = opaque;

  watch_recheck (kept);
  if (kept->telling->life == JOB_RUNNING)
    look_at_scratch (kept);
}

/* Of a job and of a change, of which there is one at most. */
static bool
end (void *opaque, bool keep_checkpoint, GError **error)
{
  return change_thaw (opaque, error)
    && job_end (opaque, keep_checkpoint, error);
}

/* The folder stays until nothing is left that it tells of. */
static bool
is_left (const void *opaque)
{
  const KeptJob *kept = opaque;

  return kept->frozen || kept->job.folder.path != NULL;
}

const JobOps libvirt_job_ops = {
  .peer = "libvirt",
  .look_texts = LOOK_TEXTS,
  .begin_texts = BEGIN_SCRATCH,
  .change_texts = CHANGE_NAMES,
  .new = kept_new,
  .add_fd = add_fd,
  .add_clock = add_clock,
  .turn = turn,
  .look = look,
  .begin = begin,
  .confirm = job_confirm,
  .prove = prove,
  .doubt = watch_doubt,
  .look_after = look_after,
  .notice_loss = watch_notice_loss,
  .end = end,
  .is_left = is_left,
  .change = change_make,
};
