/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The keeper's table for fleecing jobs.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <glib-unix.h>

#include "base/error.h"
#include "base/json-text.h"
#include "keeper/glib-loop.h"
#include "qemu/fleece-kept.h"
#include "tree/store.h"

/* A guest that ends closes its monitor a moment after its disks. */
#define ENDS_WITHIN_MS 1000

static void *
kept_new (Telling *telling)
{
  KeptFleece *kept = g_new0 (KeptFleece, 1);

  kept->telling = telling;
  kept->life = nbd_life_new (NULL, 0);
  kept->folder = (OwnFolder) OWN_FOLDER_INIT;
  kept->scratch = g_array_new (FALSE, FALSE, sizeof (int));
  kept->qemu_fd = -1;
  return kept;
}

/* ── Does it live? ── */

static bool
is_at_work (const char *status)
{
  static const char *const states[]
    = { "created", "running", "paused", "ready", "standby", NULL };

  return g_strv_contains (states, status);
}

/* NULL if the job of that disk is at work, or of all disks if target is NULL. */
static const char *
why_not_alive (const KeptFleece *kept, JsonArray *jobs, const char *target)
{
  for (guint i = 0; i < kept->plan->disks->len; i++) {
    const FleeceDisk *disk = g_ptr_array_index (kept->plan->disks, i);
    g_autofree char *id = fleece_id (kept->plan->mark, disk->target);
    bool alive = target && strcmp (target, disk->target) != 0;
    for (guint j = 0; !alive && jobs && j < json_array_get_length (jobs); j++) {
      JsonObject *job = json_text_element (jobs, j);
      alive = strcmp (json_text_string (job, "id", ""), id) == 0
        && is_at_work (json_text_string (job, "status", ""));
    }
    if (!alive)
      return "QEMU tells that our backup job has ended";
  }
  return NULL;
}

static KeeperLife
prove_layers (KeptFleece *kept, const char *target, GError **error)
{
  g_autoptr (GError) why = NULL;

  if (fleece_layers_stay (kept, target, &why))
    return KEEPER_ALIVE;
  if (why->code != ESTALE && !monitor_is_gone (kept->monitor)) {
    monitor_qmp_anew (kept->monitor);
    return KEEPER_UNKNOWN;
  }
  error_set (error, EIO, "disk %s: %s", target, why->message);
  return KEEPER_DEAD;
}

/* QEMU tells that a job ends before that lets go of its disk: both happen in its
 * main loop, from which it answers us, too.
 */
static KeeperLife
prove (void *opaque, const char *target, GError **error)
{
  KeptFleece *kept = opaque;
  g_autoptr (GError) refusal = NULL;

  if (!kept->plan || !kept->monitor) {
    error_set (error, EIO, "disk %s: there is no job", target);
    return KEEPER_DEAD;
  }
  g_autoptr (JsonNode) answer
    = fleece_ask (monitor_qmp (kept->monitor), "query-jobs", NULL, &refusal);
  if (!answer && !monitor_is_gone (kept->monitor)) {
    monitor_qmp_anew (kept->monitor);
    return KEEPER_UNKNOWN;
  }
  const char *why = !answer ? "QEMU has ended, or hung up"
    : why_not_alive (kept, json_text_node_array (answer), target);
  if (!why)
    return prove_layers (kept, target, error);
  error_set (error, EIO, "disk %s: %s", target, why);
  return KEEPER_DEAD;
}

/* Which words say why. */
static void
lose (KeptFleece *kept, const char *why)
{
  const gint64 deadline = g_get_monotonic_time () + ENDS_WITHIN_MS * 1000LL;

  while (!monitor_is_gone (kept->monitor)
         && g_get_monotonic_time () < deadline)
    g_usleep (FLEECE_POLL_MS * 1000);
  const bool hung_up = monitor_is_gone (kept->monitor);
  telling_lose (kept->telling, !hung_up ? why
                : fleece_qemu_is_gone (kept, ENDS_WITHIN_MS)
                ? "its QEMU has ended"
                : "the connection to its monitor was lost");
}

static void
doubt (void *opaque, const char *why)
{
  KeptFleece *kept = opaque;

  if (kept->telling->life == JOB_RUNNING && kept->monitor)
    lose (kept, why);
}

static void
notice_loss (void *opaque)
{
  KeptFleece *kept = opaque;
  g_autoptr (JsonNode) answer = NULL;

  if (kept->telling->life != JOB_RUNNING || !kept->monitor)
    return;
  answer = monitor_is_gone (kept->monitor) ? NULL
    : fleece_ask (monitor_qmp (kept->monitor), "query-jobs", NULL, NULL);
  if (!answer && !monitor_is_gone (kept->monitor)) {
    monitor_qmp_anew (kept->monitor);
    return;                     /* it is silent just now */
  }
  if (!answer
      || why_not_alive (kept, json_text_node_array (answer), NULL))
    lose (kept, "somebody ended the backup job (job-cancel?)");
}

static gboolean
on_monitor (gint fd G_GNUC_UNUSED, GIOCondition condition G_GNUC_UNUSED,
            gpointer data)
{
  KeptFleece *kept = data;
  bool told;

  if (!qmp_hear (monitor_qmp (kept->monitor), "JOB_STATUS_CHANGE", &told)) {
    kept->watch = 0;
    notice_loss (kept);
    return G_SOURCE_REMOVE;
  }
  if (told)
    notice_loss (kept);
  return G_SOURCE_CONTINUE;
}

/* ── Look, begin ── */

static bool
look (void *opaque, const Message *message)
{
  KeptFleece *kept = opaque;
  g_autoptr (GError) error = NULL;
  static const char *const none[] = { NULL };

  kept->path = g_strdup (message_text (message, 0));
  if (fleece_connect (kept, &error)
      && fleece_check_qemu (monitor_qmp (kept->monitor), kept->path, &error)) {
    kept->telling->is_over
      |= !message_send_fd (kept->telling->fd, KEEPER_GUEST, none,
                           monitor_fd (kept->monitor));
    return true;
  }
  telling_say_failed (kept->telling, error);
  return false;
}

static bool
begin (void *opaque, const Message *message, char **broken G_GNUC_UNUSED,
       GError **error)
{
  KeptFleece *kept = opaque;

  kept->plan = fleece_parse (message_text (message, 0));
  if (!kept->plan)
    return error_set (error, EINVAL, "what is to be begun is not understood");
  if (!fleece_begin_all (kept, error))
    return false;
  kept->watch = g_unix_fd_add (monitor_fd (kept->monitor), G_IO_IN | G_IO_HUP,
                               on_monitor, kept);
  telling_say (kept->telling, KEEPER_BEGUN, NULL, NULL);
  return true;
}

/* ── While it runs ── */

static void
look_after (void *opaque)
{
  KeptFleece *kept = opaque;
  guint64 used, left;
  const char *tightest;

  if (kept->telling->life == JOB_RUNNING
      && fleece_scratch_use (kept, &used, &left, &tightest))
    scratch_watch_tell (&kept->watched, kept->telling, used, left, tightest);
}

/* The checkpoint is of use, so its document is written. */
static void
served (void *opaque)
{
  KeptFleece *kept = opaque;
  const Fleece *plan = kept->plan;
  g_autoptr (GError) error = NULL;

  if (!plan || !plan->document)
    return;
  g_autofree char *file = g_strconcat (plan->create, ".xml", NULL);
  g_autoptr (Store) store = store_open (plan->tree, plan->inner, &error);
  if (store && store_put (store, file, false, plan->document,
                          strlen (plan->document), &error))
    return;
  kept->undocumented = true;
  g_autofree char *text = g_strdup_printf (
    "checkpoint %s is not made after all, for its document cannot be written "
    "(%s); this backup is good, and the next one is since an older checkpoint",
    plan->create, error->message);
  telling_say (kept->telling, KEEPER_WARNING, text, NULL);
}

const JobOps fleece_job_ops = {
  .peer = "QEMU",
  .look_texts = 1,
  .begin_texts = 1,
  .new = kept_new,
  .add_fd = glib_loop_add_fd,
  .add_clock = glib_loop_add_clock,
  .turn = glib_loop_turn,
  .look = look,
  .begin = begin,
  .prove = prove,
  .doubt = doubt,
  .served = served,
  .look_after = look_after,
  .notice_loss = notice_loss,
  .end = fleece_end,
  .is_left = fleece_is_left,
};
