/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * How a fleecing job is ended, and a monitor that was lost is found again for
 * that.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "qemu/fleece-kept.h"

#define ENDS_WITHIN_MS 3000

/* Who listens at the monitor's socket, if it is a QEMU: it may have been started by
 * another, which handed it the socket.
 */
static void
learn_peer (KeptFleece *kept)
{
  struct ucred peer;
  struct stat status;
  socklen_t length = sizeof peer;

  kept->user = geteuid ();
  kept->group = getegid ();
  if (getsockopt (monitor_fd (kept->monitor), SOL_SOCKET, SO_PEERCRED, &peer,
                  &length) < 0)
    return;
  g_autofree char *folder = g_strdup_printf ("/proc/%d", (int) peer.pid);
  g_autofree char *comm = g_build_filename (folder, "comm", NULL);
  g_autofree char *name = NULL;
  const bool is_qemu = g_file_get_contents (comm, &name, NULL, NULL)
    && g_str_has_prefix (name, "qemu-");
  /* It may have become another user after it began to listen. */
  const bool is_seen = is_qemu && stat (folder, &status) == 0;
  kept->user = is_seen ? status.st_uid : peer.uid;
  kept->group = is_seen ? status.st_gid : peer.gid;
  if (is_qemu && kept->qemu_fd < 0)
    kept->qemu_fd = (int) syscall (SYS_pidfd_open, peer.pid, 0);
}

bool
fleece_qemu_is_gone (const KeptFleece *kept, int wait_ms)
{
  struct pollfd pollfd = { .fd = kept->qemu_fd, .events = POLLIN };

  return kept->qemu_fd >= 0 && poll (&pollfd, 1, wait_ms) > 0;
}

bool
fleece_connect (KeptFleece *kept, GError **error)
{
  fleece_disconnect (kept);
  kept->monitor = monitor_open (kept->path, kept->life, error);
  if (!kept->monitor)
    return false;
  learn_peer (kept);
  return true;
}

void
fleece_disconnect (KeptFleece *kept)
{
  if (kept->watch)
    g_source_remove (kept->watch);
  kept->watch = 0;
  g_clear_pointer (&kept->monitor, monitor_free);
}

/* What listened at the monitor may have been another program, which handed on what
 * it heard: then QEMU has ended only if our socket is nobody's any more.
 */
static bool
has_ended (const KeptFleece *kept, const GError *why)
{
  if (kept->qemu_fd >= 0 || own_folder_has_server (&kept->folder))
    return false;
  return why->code == ECONNREFUSED || why->code == ENOENT;
}

/* *is_gone: QEMU has ended, and all in it. */
static bool
reconnect (KeptFleece *kept, bool *is_gone, GError **error)
{
  g_autoptr (GError) why = NULL;

  if (kept->monitor && !monitor_is_gone (kept->monitor)) {
    /* What was asked before may not be answered yet. */
    monitor_qmp_anew (kept->monitor);
    return true;
  }
  /* One that ends lets go of its files first, and may then dump a core. */
  *is_gone = fleece_qemu_is_gone (kept, ENDS_WITHIN_MS);
  if (*is_gone || fleece_connect (kept, &why))
    return true;
  *is_gone = has_ended (kept, why);
  if (*is_gone)
    return true;
  g_autofree char *command = fleece_end_by_hand (kept->path, kept->plan);
  return error_set (error, why->code, "the backup job of the QEMU at %s cannot "
                    "be ended, for %s; once its monitor answers, type %s",
                    kept->path, why->message, command);
}

/* The checkpoint's bitmaps that were made with the job. */
static bool
remove_created (const KeptFleece *kept, GError **error)
{
  const Fleece *plan = kept->plan;
  bool ok = true;

  for (guint i = 0; i < plan->disks->len; i++) {
    const FleeceDisk *disk = g_ptr_array_index (plan->disks, i);
    g_autoptr (GError) why = NULL;
    if (!disk->record
        || qmp_execute (monitor_qmp (kept->monitor),
                        "block-dirty-bitmap-remove",
                        qmp_texts ("node", disk->node, "name", plan->create,
                                   NULL), NULL, &why)
        || strstr (why->message, "not found"))
      continue;
    if (ok)
      error_set (error, why->code, "disk %s: bitmap %s was made with a backup "
                 "that failed, and cannot be removed: %s", disk->target,
                 plan->create, why->message);
    ok = false;
  }
  return ok;
}

static bool
end_in_qemu (KeptFleece *kept, bool keep_checkpoint, GError **error)
{
  const Fleece *plan = kept->plan;
  Qmp *qmp = monitor_qmp (kept->monitor);
  const bool has_server
    = kept->folder.path && own_folder_has_server (&kept->folder);
  g_autoptr (GError) why = NULL;

  if (!fleece_undo (qmp, plan->mark, has_server, &why)) {
    g_autofree char *command = fleece_end_by_hand (kept->path, plan);
    return error_set (error, why->code, "the backup job of the QEMU at %s cannot "
                      "be ended: %s; try %s", kept->path, why->message, command);
  }
  return keep_checkpoint || !plan->create || !kept->begun
    || remove_created (kept, error);
}

static void
forget (KeptFleece *kept)
{
  own_folder_remove (&kept->folder);
  for (guint i = 0; i < kept->scratch->len; i++)
    close (g_array_index (kept->scratch, int, i));
  g_array_set_size (kept->scratch, 0);
  g_clear_pointer (&kept->plan, fleece_free);
  kept->begun = false;
}

bool
fleece_end (void *opaque, bool keep_checkpoint, GError **error)
{
  KeptFleece *kept = opaque;
  bool is_gone = false;

  if (telling_may_have_job (kept->telling) && kept->plan) {
    if (!reconnect (kept, &is_gone, error)
        || (!is_gone
            && !end_in_qemu (kept, keep_checkpoint && !kept->undocumented,
                             error)))
      return false;
  }
  telling_note_end (kept->telling);
  forget (kept);
  return true;
}

bool
fleece_is_left (const void *opaque)
{
  return ((const KeptFleece *) opaque)->plan != NULL;
}
