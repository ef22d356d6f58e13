/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The backup job, from libvirt's side: begun whole or not at all, and ended
 * only if it is ours.  A checkpoint is ours if its description bears the mark.
 *
 * Facts: libvirt's src/qemu/qemu_backup.c.  A checkpoint made with a job
 * stays when exporting then fails; virDomainAbortJob returns before the job
 * is gone; scratch files are removed by libvirt when it ends the job.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/folder-access.h"
#include "libvirt/backup-xml.h"
#include "libvirt/kept.h"

#define SCRATCH_GONE_MS 2000
#define SETTLE_MS 3000
#define POLL_MS 10

/* ── The folder for the socket ── */

/* Whoever reads this, the folder is gone: there is nothing to type. */
static const char is_gone_soon[]
  = "that folder is made anew for each backup";

static bool
make_folder (Job *job, const char *const *texts, GError **error)
{
  const uid_t user = (uid_t) g_ascii_strtoull (texts[BEGIN_USER], NULL, 10);
  const gid_t group = (gid_t) g_ascii_strtoull (texts[BEGIN_GROUP], NULL, 10);
  const char *folder = texts[BEGIN_FOLDER];

  g_autofree char *socket_dir = g_path_get_dirname (folder);
  own_folder_sweep (socket_dir, user);
  if (!own_folder_make (&job->folder, folder, error))
    return error_advise (error, REMEDY_SOCKET_DIR, NULL);
  if (!texts[BEGIN_NEEDS_FOLDER][0])
    return true;
  if (!own_folder_give (&job->folder, user, group, error))
    return false;
  return folder_access ("QEMU's socket", folder, user, group, W_OK | X_OK,
                        is_gone_soon, error)
    || error_advise (error, REMEDY_SOCKET_DIR_BY_GROUP, NULL);
}

/* ── Begin ── */

/* Which disks' bitmaps are usable?  libvirt gives the size of those only. */
static char *
what_is_broken (virDomainPtr domain, const char *const *texts)
{
  g_autoptr (Backup) backup
    = backup_parse (texts[BEGIN_BACKUP], strlen (texts[BEGIN_BACKUP]), NULL);
  char *xml = NULL;

  for (guint i = 0; backup && !xml && i < backup->disks->len; i++) {
    const BackupDisk *disk = g_ptr_array_index (backup->disks, i);
    g_autoptr (virDomainCheckpoint) checkpoint = disk->incremental
      ? virDomainCheckpointLookupByName (domain, disk->incremental, 0) : NULL;
    if (checkpoint)
      xml = virDomainCheckpointGetXMLDesc (
        checkpoint, VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN
        | VIR_DOMAIN_CHECKPOINT_XML_SIZE);
  }
  return xml;
}

/* AppArmor and SELinux are not seen from here, but felt by QEMU; nor is a place
 * for scratch files that takes no file.
 */
static void
add_hint (GError **error)
{
  const char *text = (*error)->message;
  const bool is_denied = strstr (text, "ermission denied");
  const bool is_full = strstr (text, "No space left");
  if (!is_denied && !is_full && !strstr (text, ".scratch"))
    return;
  (*error)->code = is_denied ? EACCES : is_full ? ENOSPC : (*error)->code;
  error_advise (error, is_denied ? REMEDY_CONFINEMENT : REMEDY_SCRATCH_DIR,
                NULL);
}

/* To whom our folders may belong. */
static uid_t
qemu_user_of (const char *const *texts)
{
  return texts[BEGIN_NEEDS_FOLDER][0]
    ? (uid_t) g_ascii_strtoull (texts[BEGIN_USER], NULL, 10) : geteuid ();
}

static bool
start_job (KeptJob *kept, const char *const *texts, char **broken,
           GError **error)
{
  Job *job = &kept->job;
  const Hypervisor *hypervisor = &kept->hypervisor;
  const char *checkpoint = texts[BEGIN_CHECKPOINT];

  if (checkpoint[0])
    job->created = g_strdup (texts[BEGIN_NAME]);
  kept->telling->life = JOB_BEGINNING;
  if (virDomainBackupBegin (hypervisor->domain, texts[BEGIN_BACKUP],
                            checkpoint[0] ? checkpoint : NULL, 0) == 0)
    return true;
  const int code = virGetLastErrorCode ();
  const bool is_broken = code == VIR_ERR_CHECKPOINT_INCONSISTENT;
  /* One that is broken may be left out, and the backup begin after all. */
  hypervisor_error (error, is_broken ? "guest %s"
                    : "guest %s: cannot begin the backup",
                    hypervisor->domain_name);
  add_hint (error);
  if (checkpoint[0] && !is_broken)
    refusal_explain (hypervisor, code, texts[BEGIN_NAME], checkpoint, error);
  if (is_broken)
    *broken = what_is_broken (hypervisor->domain, texts);
  else                          /* one that began since the look */
    owner_explain (hypervisor, job->mark, texts[BEGIN_FOLDER],
                   qemu_user_of (texts), error);
  return false;
}

/* What libvirt says of the job that was just begun. */
static bool
describe_job (KeptJob *kept, char **xml, GError **error)
{
  Job *job = &kept->job;
  const Hypervisor *hypervisor = &kept->hypervisor;
  g_autofree char *begun = virDomainBackupGetXMLDesc (hypervisor->domain, 0);
  guint64 used;
  const char *tightest;

  if (!begun || !strstr (begun, job->mark))
    return error_set (error, EIO, "guest %s: the backup job was over at once; "
                      "QEMU's log tells why (/var/log/libvirt/qemu)",
                      hypervisor->domain_name);
  kept->scratch = (ScratchWatch) { 0 };
  job_scratch (job, &used, &kept->scratch.room, &tightest);
  /* What QEMU has told of lives, but for bad luck, and the server connects while
   * that is proved.  Of what it has not told, libvirt may never tell (begin_again).
   */
  if (life_is_told (job, begun))
    job->unproved = g_strdup (begun);
  else if (!life_look_at_all (job, hypervisor, begun, error))
    return false;
  *xml = g_steal_pointer (&begun);
  return true;
}

/* The keeper's loop runs meanwhile, and must not tell of a job of which the server
 * does not know yet that it lives.
 */
bool
job_confirm (void *opaque, GError **error)
{
  KeptJob *kept = opaque;
  g_autofree char *xml = g_steal_pointer (&kept->job.unproved);

  if (xml && !life_look_at_all (&kept->job, &kept->hypervisor, xml, error))
    return false;
  kept->telling->life = JOB_RUNNING;
  watch_look_again (kept);
  if (kept->heard_early)        /* once the server has adopted the job */
    kept->recheck_at = 0;
  return true;
}

bool
job_begin (KeptJob *kept, const char *const *texts, char **xml,
           char **broken, GError **error)
{
  Job *job = &kept->job;
  Hypervisor *hypervisor = &kept->hypervisor;
  g_autoptr (GError) refusal = NULL, trouble = NULL;

  kept->heard_early = false;
  job->mark = g_strdup (texts[BEGIN_MARK]);
  job->scratch = g_strdupv ((char **) texts + BEGIN_SCRATCH);
  if (owner_clear_way (hypervisor, texts[BEGIN_FOLDER],
                       texts[BEGIN_TAKE_OVER][0] != '\0',
                       qemu_user_of (texts), &refusal)
      && make_folder (job, texts, &refusal)
      && life_begin (job, hypervisor, &refusal)
      && start_job (kept, texts, broken, &refusal)
      && describe_job (kept, xml, &refusal))
    return true;
  hypervisor->hears_late = true;
  if (job_end (kept, false, &trouble))
    g_propagate_error (error, g_steal_pointer (&refusal));
  else
    error_set_both (error, refusal, trouble);
  return false;
}

/* ── End ── */

/* Only one whose description bears the mark: another program may have made
 * one of the same name.
 */
static bool
delete_checkpoint (const Job *job, const Hypervisor *hypervisor,
                   GError **error)
{
  g_autoptr (virDomainCheckpoint) checkpoint
    = virDomainCheckpointLookupByName (hypervisor->domain, job->created, 0);
  g_autofree char *xml = checkpoint ? virDomainCheckpointGetXMLDesc (
    checkpoint, VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN) : NULL;

  if (xml ? !strstr (xml, job->mark)
            || virDomainCheckpointDelete (checkpoint, 0) == 0
      : virGetLastErrorCode () == VIR_ERR_NO_DOMAIN_CHECKPOINT)
    return true;
  hypervisor_error (error, "guest %s: the checkpoint %s was made with a backup "
                    "that failed, and cannot be deleted",
                    hypervisor->domain_name, job->created);
  g_autofree char *delete
    = hypervisor_virsh (hypervisor, "checkpoint-delete", job->created);
  g_autofree char *forget
    = hypervisor_virsh (hypervisor, "checkpoint-delete --metadata",
                        job->created);
  g_autofree char *commands
    = g_strdup_printf ("%s; if that finds no bitmap, since QEMU was killed "
                       "before it saved it, type %s", delete, forget);
  return hypervisor_advise (error, "once the guest runs, type", commands);
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

/* A daemon that has just started answers before it knows its guests' jobs. */
static void
wait_until_known (const Job *job, const Hypervisor *hypervisor)
{
  const gint64 deadline = g_get_monotonic_time () + SETTLE_MS * 1000LL;

  while (!job_is_running (job, hypervisor->domain)
         && g_get_monotonic_time () < deadline)
    g_usleep (POLL_MS * 1000);
}

static bool
reconnect (const Job *job, Hypervisor *hypervisor, bool *is_gone,
           GError **error)
{
  g_autoptr (GError) refusal = NULL;

  if (virConnectIsAlive (hypervisor->connection) == 1)
    return true;
  if (hypervisor_reconnect (hypervisor, &refusal)) {
    wait_until_known (job, hypervisor);
    return true;
  }
  *is_gone = refusal->code == ENOENT;
  g_autofree char *command
    = hypervisor_virsh (hypervisor, "domjobabort", NULL);
  return *is_gone
    || error_set (error, refusal->code, "guest %s: its backup job cannot be "
                  "ended, for libvirt does not answer (%s); once it does, "
                  "type %s", hypervisor->domain_name, refusal->message,
                  command);
}

/* Each step is tried, even if the one before failed. */
static bool
end_running (Job *job, Hypervisor *hypervisor, bool keep_checkpoint,
             GError **error)
{
  g_autoptr (GError) trouble = NULL;
  bool is_gone = false;

  if (!reconnect (job, hypervisor, &is_gone, error))
    return false;
  const bool ended
    = is_gone || owner_abort_marked (job->mark, hypervisor, error);
  if (ended && !hypervisor->remote)
    remove_scratch (job);
  /* Until then it tells whose the job is. */
  if (ended)
    own_folder_remove (&job->folder);
  if (keep_checkpoint || !job->created || is_gone
      || delete_checkpoint (job, hypervisor, &trouble))
    return ended;
  if (ended)
    g_propagate_error (error, g_steal_pointer (&trouble));
  else {
    g_autoptr (GError) first = error ? g_steal_pointer (error) : NULL;
    error_set (error, trouble->code, "%s; %s", first ? first->message : "",
               trouble->message);
  }
  return false;
}

bool
job_end (void *opaque, bool keep_checkpoint, GError **error)
{
  KeptJob *kept = opaque;
  Job *job = &kept->job;

  if (telling_may_have_job (kept->telling)
      && !end_running (job, &kept->hypervisor, keep_checkpoint, error))
    return false;
  telling_note_end (kept->telling);
  own_folder_remove (&job->folder);
  g_clear_pointer (&job->created, g_free);
  g_clear_pointer (&job->mark, g_free);
  g_clear_pointer (&job->unproved, g_free);
  g_clear_pointer (&job->scratch, g_strfreev);
  g_clear_pointer (&job->alive, g_hash_table_unref);
  *job = (Job) JOB_INIT;
  return true;
}

bool
job_scratch (const Job *job, guint64 *used, guint64 *left,
             const char **tightest)
{
  *used = *left = 0;
  for (guint i = 0; job->scratch[i]; i++) {
    struct stat file;
    struct statvfs fs;
    if (stat (job->scratch[i], &file) < 0
        || statvfs (job->scratch[i], &fs) < 0)
      return false;
    const guint64 room = (guint64) fs.f_bavail * fs.f_frsize;
    *used += (guint64) file.st_blocks * 512;
    if (i == 0 || room < *left) {
      *left = room;
      *tightest = job->scratch[i];
    }
  }
  return job->scratch[0] != NULL;
}
