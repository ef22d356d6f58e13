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
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "libvirt/backup-xml.h"
#include "libvirt/kept.h"

#define POLL_MS 10

/* Somebody may have ended ours, and begun another since. */
static bool
is_marked (const char *mark, virDomainPtr domain, bool *known)
{
  g_autofree char *xml = virDomainBackupGetXMLDesc (domain, 0);

  *known = xml || virGetLastErrorCode () == VIR_ERR_NO_DOMAIN_BACKUP;
  return xml && strstr (xml, mark);
}

bool
job_is_running (const Job *job, virDomainPtr domain)
{
  bool known;

  return is_marked (job->mark, domain, &known);
}

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

/* What a job says of itself, which anybody may have written who may begin one:
 * checked against what only we can have made.
 */
typedef struct {
  char *mark;                   /* NULL: it is another program's */
  char *folder;                 /* as the job names it */
  int fd;                       /* of the folder, locked; -1: none */
  const char *why;              /* nothing is known of its owner; NULL */
} Claim;

static void
claim_clear (Claim *claim)
{
  g_free (claim->mark);
  g_free (claim->folder);
  close_fd (&claim->fd);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Claim, claim_clear)

/* The mark in the name of a scratch file: "MARK.TARGET.scratch"; g_free ().
 * NULL: it is not ours.
 */
static char *
mark_of (const BackupDisk *disk, const char *name)
{
  g_autofree char *mark = g_strndup (name, strcspn (name, "."));
  g_autofree char *ours = g_strdup_printf ("%s.%s.scratch", mark,
                                           disk->target);

  return own_folder_is_name (mark) && strcmp (name, ours) == 0
    ? g_steal_pointer (&mark) : NULL;
}

/* All scratch files that we have named bear the same mark (libvirt may have
 * named some), and the socket is in a folder of that name.
 */
static void
read_claim (Claim *claim, const Backup *backup, const char *socket_dir)
{
  g_autofree char *mark = NULL;

  for (guint i = 0; backup && i < backup->disks->len; i++) {
    const BackupDisk *disk = g_ptr_array_index (backup->disks, i);
    g_autofree char *name = g_path_get_basename (disk->scratch
                                                 ? disk->scratch : "");
    if (!g_str_has_prefix (name, OWN_PREFIX))
      continue;
    g_autofree char *found = mark_of (disk, name);
    if (!found || (mark && strcmp (mark, found) != 0))
      return;
    if (!mark)
      mark = g_steal_pointer (&found);
  }
  if (!mark)
    return;
  claim->folder = backup->socket ? g_path_get_dirname (backup->socket)
    : g_build_filename (socket_dir, mark, NULL);
  g_autofree char *name = g_path_get_basename (claim->folder);
  if (strcmp (name, mark) == 0)
    claim->mark = g_steal_pointer (&mark);
}

/* The folder must be no link, directly in the place where ours are, and of a
 * user who can have it from us.
 */
static int
open_folder (const Claim *claim, const char *socket_dir, uid_t qemu_user,
             const char **why)
{
  g_autofree char *path = g_build_filename (socket_dir, claim->mark, NULL);
  auto_fd fd = open (path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat ours, theirs;

  if (fd < 0 || fstat (fd, &ours) < 0 || lstat (claim->folder, &theirs) < 0)
    *why = g_strerror (errno);
  else if (ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino)
    *why = "another folder than ours of that name";
  else if (ours.st_uid != geteuid () && ours.st_uid != qemu_user)
    *why = "another user's folder";
  return *why ? -1 : g_steal_fd (&fd);
}

/* The server that made this folder holds a lock on it as long as it is at
 * work.  One of another user's, or on another machine, cannot be looked at.
 */
static Owner
owner_of (Claim *claim, const char *socket_dir, uid_t qemu_user)
{
  claim->fd = open_folder (claim, socket_dir, qemu_user, &claim->why);
  if (claim->fd < 0)
    return OWNER_UNKNOWN;
  if (flock (claim->fd, LOCK_EX | LOCK_NB) == 0)
    return OWNER_DEAD;
  if (errno == EWOULDBLOCK)
    return OWNER_ALIVE;
  claim->why = g_strerror (errno);
  return OWNER_UNKNOWN;
}

static bool
refuse_job (const Hypervisor *hypervisor, const Claim *claim, Owner owner,
            GError **error)
{
  const char *folder = claim->folder;
  g_autofree char *command
    = hypervisor_virsh (hypervisor, "domjobabort", NULL);

  if (owner == OWNER_ALIVE)
    return error_set (error, EBUSY, "guest %s is being served by another of "
                      "our servers (or one that libvirt did not answer is "
                      "still ending its job), which holds %s; wait until it "
                      "has ended", hypervisor->domain_name, folder)
      || error_sort (error, REASON_JOB_SERVED, folder)
      || error_advise (error, REMEDY_SEE_OTHERS, NULL);
  if (owner == OWNER_UNKNOWN)
    return error_set (error, EBUSY, "guest %s has a backup job of one of our "
                      "servers that cannot be looked at from here (%s: %s), "
                      "so it may be alive; wait until it has ended, or if it "
                      "was killed: %s", hypervisor->domain_name, folder,
                      claim->why, command)
      || error_sort (error, REASON_JOB_UNKNOWN, folder);
  error_set (error, EBUSY, "guest %s has a backup job that one of our servers "
             "left behind when it was killed", hypervisor->domain_name);
  error_sort (error, REASON_JOB_LEFT, folder);
  return error_advise (error, REMEDY_TAKE_OVER, command, folder, NULL);
}

/* A job that is there already, as xml describes it: take it over, or say whose it
 * is.
 */
static bool
clear_way (const Hypervisor *hypervisor, const char *xml,
           const char *socket_dir, bool take_over, uid_t qemu_user,
           GError **error)
{
  g_autoptr (Backup) backup = backup_parse (xml, strlen (xml), NULL);
  g_auto (Claim) claim = { .fd = -1 };
  read_claim (&claim, backup, socket_dir);
  if (!claim.mark) {
    g_autofree char *command
      = hypervisor_virsh (hypervisor, "domjobinfo", NULL);
    return error_set (error, EBUSY, "guest %s has a backup job of another "
                      "program; wait until it has ended; to see, type %s",
                      hypervisor->domain_name, command)
      || error_sort (error, REASON_JOB_OTHER, NULL);
  }
  const Owner owner = owner_of (&claim, socket_dir, qemu_user);
  if (owner != OWNER_DEAD || !take_over)
    return refuse_job (hypervisor, &claim, owner, error);
  if (!owner_abort_marked (claim.mark, hypervisor, error))
    return false;
  OwnFolder dead
    = { g_steal_pointer (&claim.folder), g_steal_fd (&claim.fd) };
  own_folder_remove (&dead);
  return true;
}

/* libvirt's description of the guest's backup job; *none: there is certainly none. */
static char *
describe_other (Hypervisor *hypervisor, bool *none)
{
  char *xml = virDomainBackupGetXMLDesc (hypervisor->domain, 0);

  *none = !xml && virGetLastErrorCode () == VIR_ERR_NO_DOMAIN_BACKUP;
  if (!*none)
    hypervisor->hears_late = true;
  return xml;
}

void
owner_ask (Hypervisor *hypervisor)
{
  g_free (describe_other (hypervisor, &hypervisor->has_no_job));
}

bool
owner_clear_way (Hypervisor *hypervisor, const char *folder, bool take_over,
                 uid_t qemu_user, GError **error)
{
  bool none = hypervisor->has_no_job;

  hypervisor->has_no_job = false; /* for one beginning */
  if (none)
    return true;
  g_autofree char *socket_dir = g_path_get_dirname (folder);
  g_autofree char *xml = describe_other (hypervisor, &none);
  /* What else is wrong, beginning will tell. */
  return !xml
    || clear_way (hypervisor, xml, socket_dir, take_over, qemu_user, error);
}

void
owner_explain (const Hypervisor *hypervisor, const char *mark,
               const char *folder, uid_t qemu_user, GError **error)
{
  g_autofree char *socket_dir = g_path_get_dirname (folder);
  g_autofree char *xml = virDomainBackupGetXMLDesc (hypervisor->domain, 0);
  g_autoptr (GError) other = NULL;

  if (!xml || strstr (xml, mark)
      || clear_way (hypervisor, xml, socket_dir, false, qemu_user, &other))
    return;
  g_clear_error (error);
  g_propagate_error (error, g_steal_pointer (&other));
}

bool
owner_look (const Hypervisor *hypervisor, const char *socket_dir,
            uid_t qemu_user, GError **error)
{
  g_autofree char *xml = virDomainBackupGetXMLDesc (hypervisor->domain, 0);

  return !xml
    || clear_way (hypervisor, xml, socket_dir, false, qemu_user, error);
}
