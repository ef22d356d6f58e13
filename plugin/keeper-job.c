/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The backup job, from libvirt's side: begun whole or not at all, and ended
 * only if it is ours.  Ours is what bears our mark in the names of its
 * socket and scratch files, or of a checkpoint in its description.
 *
 * Facts: libvirt's src/qemu/qemu_backup.c.  A checkpoint made with a job
 * stays when exporting then fails; virDomainAbortJob returns before the job
 * is gone; scratch files are removed by libvirt when it ends the job.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "backup-xml.h"
#include "error.h"
#include "keeper-process.h"
#include "reach.h"

#define JOB_GONE_MS 20000
#define SCRATCH_GONE_MS 2000
#define POLL_MS 10

/* ── Is a job running, and whose? ── */

static bool
is_job_running (virDomainPtr domain)
{
  char *xml = virDomainBackupGetXMLDesc (domain, 0);
  const virError *reason = xml ? NULL : virGetLastError ();

  free (xml);
  if (!reason)
    return true;
  return reason->code != VIR_ERR_NO_DOMAIN_BACKUP
    && virDomainIsActive (domain) != 0;
}

static bool
wait_until_gone (const Hypervisor *hypervisor, GError **error)
{
  const gint64 deadline = g_get_monotonic_time () + JOB_GONE_MS * 1000LL;

  while (is_job_running (hypervisor->domain)) {
    if (g_get_monotonic_time () > deadline)
      return error_set (error, ETIMEDOUT, "guest %s: the backup job was "
                        "aborted but is not gone after %d s; look with: virsh "
                        "-c %s domjobinfo %s", hypervisor->domain_name,
                        JOB_GONE_MS / 1000, hypervisor->uri,
                        hypervisor->domain_name);
    g_usleep (POLL_MS * 1000);
  }
  return true;
}

static bool
abort_job (const Hypervisor *hypervisor, GError **error)
{
  if (virDomainAbortJob (hypervisor->domain) < 0
      && is_job_running (hypervisor->domain))
    return hypervisor_error (error, "guest %s: cannot end its backup job; try "
                             "virsh -c %s domjobabort %s",
                             hypervisor->domain_name, hypervisor->uri,
                             hypervisor->domain_name);
  return wait_until_gone (hypervisor, error);
}

/* Is the nbdkit that made this folder still at work?  It holds a lock on it.
 * On another machine nobody can tell.
 */
static bool
is_owner_alive (const char *folder)
{
  const int fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool alive
    = fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;

  if (fd >= 0)
    close (fd);
  return alive;
}

/* The folder that a job's names say we made for it; NULL: not ours.  The
 * caller's.
 */
static char *
folder_of (const Backup *backup, const char *socket_dir)
{
  for (guint i = 0; backup && i < backup->disks->len; i++) {
    const BackupDisk *disk = g_ptr_array_index (backup->disks, i);
    g_autofree char *name
      = disk->scratch ? g_path_get_basename (disk->scratch) : NULL;

    if (!name || !g_str_has_prefix (name, JOB_PREFIX))
      continue;
    if (backup->socket)
      return g_path_get_dirname (backup->socket);
    name[strcspn (name, ".")] = '\0';
    return g_build_filename (socket_dir, name, NULL);
  }
  return NULL;
}

static void
remove_folder (const char *folder)
{
  g_autofree char *socket = g_build_filename (folder, "nbd", NULL);

  unlink (socket);
  rmdir (folder);
}

/* A job that is there already: take it over, or say whose it is. */
static bool
clear_way (const Hypervisor *hypervisor, const char *folder, bool take_over,
           GError **error)
{
  char *xml = virDomainBackupGetXMLDesc (hypervisor->domain, 0);
  const char *name = hypervisor->domain_name;

  if (!xml)                     /* what else is wrong, beginning will tell */
    return true;
  g_autoptr (Backup) backup = backup_parse (xml, strlen (xml), NULL);
  free (xml);
  g_autofree char *socket_dir = g_path_get_dirname (folder);
  g_autofree char *theirs = folder_of (backup, socket_dir);
  if (!theirs)
    return error_set (error, EBUSY, "guest %s has a backup job of another "
                      "program; wait until it has ended (virsh -c %s "
                      "domjobinfo %s)", name, hypervisor->uri, name);
  if (is_owner_alive (theirs))
    return error_set (error, EBUSY, "guest %s is being served by another "
                      "nbdkit, which holds %s; wait until it has ended",
                      name, theirs);
  if (!take_over)
    return error_set (error, EBUSY, "guest %s has a backup job that an nbdkit "
                      "left behind when it was killed%s; end it with: virsh "
                      "-c %s domjobabort %s, or start with take-over=yes",
                      name, hypervisor->remote ? " (or that another machine "
                      "still serves)" : "", hypervisor->uri, name);
  if (!abort_job (hypervisor, error))
    return false;
  remove_folder (theirs);
  return true;
}

/* ── The folder for the socket ── */

static bool
give_folder (const char *folder, uid_t user, gid_t group, GError **error)
{
  if (user == geteuid ())
    return true;
  /* Not ours to give away: a folder that hands its group down may do. */
  const int failure = geteuid () == 0
    ? chown (folder, user, group) : chmod (folder, 0770);
  if (failure < 0)
    return error_set (error, errno, "cannot make %s a folder for QEMU's "
                      "socket: %s; choose another with socket-dir=", folder,
                      g_strerror (errno));
  return true;
}

static bool
make_folder (Job *job, const char *const *texts, GError **error)
{
  const uid_t user = (uid_t) g_ascii_strtoull (texts[BEGIN_USER], NULL, 10);
  const gid_t group = (gid_t) g_ascii_strtoull (texts[BEGIN_GROUP], NULL, 10);
  const char *folder = texts[BEGIN_FOLDER];

  if (mkdir (folder, 0700) < 0)
    return error_set (error, errno, "cannot make the folder %s: %s; choose "
                      "where with socket-dir=", folder, g_strerror (errno));
  job->folder = g_strdup (folder);
  job->folder_fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (job->folder_fd < 0 || flock (job->folder_fd, LOCK_EX | LOCK_NB) < 0)
    return error_set (error, errno, "cannot lock the folder %s: %s", folder,
                      g_strerror (errno));
  if (!texts[BEGIN_NEEDS_FOLDER][0])
    return true;
  g_autofree char *socket_dir = g_path_get_dirname (folder);
  g_autofree char *purpose = g_strconcat ("socket-dir=", socket_dir, NULL);
  return give_folder (folder, user, group, error)
    && reach_check (purpose, folder, user, group, W_OK | X_OK, error);
}

/* ── Begin ── */

/* Which disks' bitmaps are usable?  libvirt gives the size of those only. */
static char *
what_is_broken (virDomainPtr domain, const char *const *texts)
{
  g_autoptr (Backup) backup
    = backup_parse (texts[BEGIN_BACKUP], strlen (texts[BEGIN_BACKUP]), NULL);
  char *kept = NULL;

  for (guint i = 0; backup && !kept && i < backup->disks->len; i++) {
    const BackupDisk *disk = g_ptr_array_index (backup->disks, i);
    virDomainCheckpointPtr checkpoint = disk->incremental
      ? virDomainCheckpointLookupByName (domain, disk->incremental, 0) : NULL;
    char *xml = checkpoint ? virDomainCheckpointGetXMLDesc (
      checkpoint, VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN
      | VIR_DOMAIN_CHECKPOINT_XML_SIZE) : NULL;
    kept = g_strdup (xml);
    free (xml);
    if (checkpoint)
      virDomainCheckpointFree (checkpoint);
  }
  return kept;
}

static bool
start_job (Job *job, const Hypervisor *hypervisor, const char *const *texts,
           char **broken, GError **error)
{
  const char *checkpoint = texts[BEGIN_CHECKPOINT];

  if (checkpoint[0])
    job->created = g_strdup (texts[BEGIN_NAME]);
  if (virDomainBackupBegin (hypervisor->domain, texts[BEGIN_BACKUP],
                            checkpoint[0] ? checkpoint : NULL, 0) == 0)
    return true;
  const virError *reason = virGetLastError ();
  const bool is_broken
    = reason && reason->code == VIR_ERR_CHECKPOINT_INCONSISTENT;
  hypervisor_error (error, "guest %s: cannot begin the backup",
                    hypervisor->domain_name);
  if (is_broken)
    *broken = what_is_broken (hypervisor->domain, texts);
  return false;
}

bool
job_begin (Job *job, Hypervisor *hypervisor, const char *const *texts,
           char **xml, char **broken, GError **error)
{
  job->mark = g_strdup (texts[BEGIN_MARK]);
  job->scratch = g_strdupv ((char **) texts + BEGIN_SCRATCH);
  if (clear_way (hypervisor, texts[BEGIN_FOLDER],
                 texts[BEGIN_TAKE_OVER][0] != '\0', error)
      && make_folder (job, texts, error)
      && start_job (job, hypervisor, texts, broken, error)) {
    char *begun = virDomainBackupGetXMLDesc (hypervisor->domain, 0);
    job->begun = true;
    if (begun) {
      guint64 used;
      *xml = g_strdup (begun);
      free (begun);
      job_scratch (job, &used, &job->room);
      return true;
    }
    hypervisor_error (error, "guest %s: the backup job was over at once",
                      hypervisor->domain_name);
  }
  job_end (job, hypervisor, false, NULL);
  return false;
}

/* ── End ── */

bool
job_is_running (const Job *job, virDomainPtr domain)
{
  char *xml = virDomainBackupGetXMLDesc (domain, 0);
  const bool ours = xml && strstr (xml, job->mark);

  free (xml);
  return ours;
}

/* Somebody may have ended it, and begun another since. */
static bool
abort_ours (const Job *job, const Hypervisor *hypervisor, GError **error)
{
  char *xml = virDomainBackupGetXMLDesc (hypervisor->domain, 0);
  const bool ours = !xml || strstr (xml, job->mark);

  free (xml);
  return !ours || !is_job_running (hypervisor->domain)
    || abort_job (hypervisor, error);
}

/* Only one whose description bears the mark: another program may have made
 * one of the same name.
 */
static bool
delete_checkpoint (const Job *job, const Hypervisor *hypervisor,
                   GError **error)
{
  virDomainCheckpointPtr checkpoint
    = virDomainCheckpointLookupByName (hypervisor->domain, job->created, 0);
  bool ok = true;

  if (!checkpoint)
    return true;
  char *xml = virDomainCheckpointGetXMLDesc (
    checkpoint, VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN);
  if (xml && strstr (xml, job->mark)
      && virDomainCheckpointDelete (checkpoint, 0) < 0)
    ok = hypervisor_error (error, "guest %s: cannot delete the checkpoint %s "
                           "that was made with a backup that failed; type "
                           "virsh -c %s checkpoint-delete %s %s",
                           hypervisor->domain_name, job->created,
                           hypervisor->uri, hypervisor->domain_name,
                           job->created);
  free (xml);
  virDomainCheckpointFree (checkpoint);
  return ok;
}

/* libvirt removes them a moment after the job; after a crash of its daemon
 * it does not.
 */
static void
remove_scratch (const Job *job)
{
  const gint64 deadline = g_get_monotonic_time () + SCRATCH_GONE_MS * 1000LL;

  for (guint i = 0; job->scratch && job->scratch[i]; i++) {
    while (access (job->scratch[i], F_OK) == 0
           && g_get_monotonic_time () < deadline)
      g_usleep (POLL_MS * 1000);
    unlink (job->scratch[i]);
  }
}

static bool
end_running (Job *job, Hypervisor *hypervisor, bool keep_checkpoint,
             GError **error)
{
  g_autoptr (GError) refusal = NULL;

  if (virConnectIsAlive (hypervisor->connection) != 1
      && !hypervisor_reconnect (hypervisor, &refusal))
    return error_set (error, refusal->code, "guest %s: its backup job cannot "
                      "be ended, for libvirt does not answer (%s); once it "
                      "does, type virsh -c %s domjobabort %s",
                      hypervisor->domain_name, refusal->message,
                      hypervisor->uri, hypervisor->domain_name);
  if (!abort_ours (job, hypervisor, error))
    return false;
  if (!hypervisor->remote)
    remove_scratch (job);
  return keep_checkpoint || !job->created
    || delete_checkpoint (job, hypervisor, error);
}

bool
job_end (Job *job, Hypervisor *hypervisor, bool keep_checkpoint,
         GError **error)
{
  bool ok = true;

  if (job->begun || job->created)
    ok = end_running (job, hypervisor, keep_checkpoint, error);
  if (job->folder)
    remove_folder (job->folder);
  if (job->folder_fd >= 0)
    close (job->folder_fd);
  g_clear_pointer (&job->folder, g_free);
  g_clear_pointer (&job->created, g_free);
  g_clear_pointer (&job->mark, g_free);
  g_clear_pointer (&job->scratch, g_strfreev);
  *job = (Job) JOB_INIT;
  return ok;
}

bool
job_scratch (const Job *job, guint64 *used, guint64 *left)
{
  *used = 0;
  *left = G_MAXUINT64;
  for (guint i = 0; job->scratch[i]; i++) {
    struct stat file;
    struct statvfs fs;
    if (stat (job->scratch[i], &file) < 0
        || statvfs (job->scratch[i], &fs) < 0)
      return false;
    *used += (guint64) file.st_blocks * 512;
    *left = MIN (*left, (guint64) fs.f_bavail * fs.f_frsize);
  }
  return job->scratch[0] != NULL;
}
