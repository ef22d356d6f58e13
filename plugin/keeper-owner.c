/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Whose is a guest's backup job?  Ours is what bears our mark in the names of
 * its socket and scratch files; and its owner is alive as long as the folder
 * of its socket is locked.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "backup-xml.h"
#include "error.h"
#include "keeper-process.h"

#define POLL_MS 10

/* Somebody may have ended ours, and begun another since. */
static bool
is_marked (const char *mark, virDomainPtr domain, bool *known)
{
  char *xml = virDomainBackupGetXMLDesc (domain, 0);
  const virError *reason = xml ? NULL : virGetLastError ();
  const bool ours = xml && strstr (xml, mark);

  *known = xml || (reason && reason->code == VIR_ERR_NO_DOMAIN_BACKUP);
  free (xml);
  return ours;
}

bool
job_is_running (const Job *job, virDomainPtr domain)
{
  bool known;

  return is_marked (job->mark, domain, &known);
}

/* Abort the job that bears the mark; true if there is none (any more). */
bool
owner_abort_marked (const char *mark, const Hypervisor *hypervisor,
                    GError **error)
{
  const gint64 deadline = g_get_monotonic_time () + JOB_GONE_MS * 1000LL;
  g_autofree char *command
    = hypervisor_virsh (hypervisor, "domjobabort", NULL);
  bool known, aborted = false;

  for (;;) {
    const bool running = is_marked (mark, hypervisor->domain, &known);
    if (!running && (known || hypervisor_guest_is_off (hypervisor)))
      return true;
    if (!aborted && running
        && virDomainAbortJob (hypervisor->domain) == 0)
      aborted = true;
    if (g_get_monotonic_time () > deadline) {
      hypervisor_error (error, "guest %s: its backup job %s",
                        hypervisor->domain_name, aborted
                        ? "was aborted but is not gone" : "cannot be ended");
      return hypervisor_advise (error, "try", command);
    }
    g_usleep (POLL_MS * 1000);
  }
}

typedef enum { OWNER_ALIVE, OWNER_DEAD, OWNER_UNKNOWN } Owner;

/* The nbdkit that made this folder holds a lock on it as long as it is at
 * work.  One of another user's, or on another machine, cannot be looked at.
 */
static Owner
owner_of (const char *folder)
{
  const int fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (fd < 0)
    return OWNER_UNKNOWN;
  const Owner owner = flock (fd, LOCK_EX | LOCK_NB) == 0 ? OWNER_DEAD
    : errno == EWOULDBLOCK ? OWNER_ALIVE : OWNER_UNKNOWN;
  close (fd);
  return owner;
}

/* The mark in the names of a job's scratch files; NULL: not ours.  The
 * caller's.
 */
static char *
mark_of (const Backup *backup)
{
  for (guint i = 0; backup && i < backup->disks->len; i++) {
    const BackupDisk *disk = g_ptr_array_index (backup->disks, i);
    g_autofree char *name
      = disk->scratch ? g_path_get_basename (disk->scratch) : NULL;

    if (!name || !g_str_has_prefix (name, OWN_PREFIX))
      continue;
    name[strcspn (name, ".")] = '\0';
    return g_steal_pointer (&name);
  }
  return NULL;
}

/* The folder that was made for that job: where its socket is, or would be. */
static char *
folder_of (const Backup *backup, const char *mark, const char *socket_dir)
{
  g_autofree char *folder = backup->socket
    ? g_path_get_dirname (backup->socket)
    : g_build_filename (socket_dir, mark, NULL);

  return g_str_has_suffix (folder, mark) ? g_steal_pointer (&folder) : NULL;
}

void
owner_remove_folder (const char *folder)
{
  g_autofree char *socket = g_build_filename (folder, "nbd", NULL);

  unlink (socket);
  rmdir (folder);
}

static bool
refuse_job (const Hypervisor *hypervisor, const char *folder, Owner owner,
            GError **error)
{
  const int reason = errno;
  g_autofree char *word = error_shell_word (folder);
  g_autofree char *command
    = hypervisor_virsh (hypervisor, "domjobabort", NULL);

  if (owner == OWNER_ALIVE)
    return error_set (error, EBUSY, "guest %s is being served by another "
                      "nbdkit, which holds %s; wait until it has ended",
                      hypervisor->domain_name, folder);
  if (owner == OWNER_UNKNOWN)
    return error_set (error, EBUSY, "guest %s has a backup job of an nbdkit "
                      "that cannot be looked at from here (%s: %s), so it may "
                      "be alive; wait until it has ended, or if it was "
                      "killed: %s", hypervisor->domain_name, folder,
                      g_strerror (reason), command);
  return error_set (error, EBUSY, "guest %s has a backup job that an nbdkit "
                    "left behind when it was killed; start with "
                    "take-over=yes, or end it with: %s && rm -r %s",
                    hypervisor->domain_name, command, word);
}

/* A job that is there already: take it over, or say whose it is. */
bool
owner_clear_way (const Hypervisor *hypervisor, const char *folder,
                 bool take_over, GError **error)
{
  char *xml = virDomainBackupGetXMLDesc (hypervisor->domain, 0);

  if (!xml)                     /* what else is wrong, beginning will tell */
    return true;
  g_autoptr (Backup) backup = backup_parse (xml, strlen (xml), NULL);
  free (xml);
  g_autofree char *socket_dir = g_path_get_dirname (folder);
  g_autofree char *mark = mark_of (backup);
  g_autofree char *theirs
    = mark ? folder_of (backup, mark, socket_dir) : NULL;
  if (!theirs) {
    g_autofree char *command
      = hypervisor_virsh (hypervisor, "domjobinfo", NULL);
    return error_set (error, EBUSY, "guest %s has a backup job of another "
                      "program; wait until it has ended; to see, type %s",
                      hypervisor->domain_name, command);
  }
  const Owner owner = owner_of (theirs);
  if (owner != OWNER_DEAD || !take_over)
    return refuse_job (hypervisor, theirs, owner, error);
  if (!owner_abort_marked (mark, hypervisor, error))
    return false;
  owner_remove_folder (theirs);
  return true;
}
