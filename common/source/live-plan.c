/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * All names are ours to choose, so that a job that a crash left can be told
 * from another program's.  The scratch files lie beside the disks unless told
 * otherwise, as libvirt would have it: QEMU can reach that place.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/folder-access.h"
#include "base/own-folder.h"
#include "image/unlocked.h"
#include "parts/parts.h"
#include "source/libvirt.h"
#include "source/live-plan.h"
#include "source/version-2.h"

/* Where a remote QEMU listens: libvirt leaves the choice to us. */
#define FIRST_PORT 10809
#define PORTS_TRIED 32

void
live_plan_clear (LivePlan *plan)
{
  g_clear_pointer (&plan->mark, g_free);
  g_clear_pointer (&plan->folder, g_free);
  g_clear_pointer (&plan->backup, backup_free);
  g_clear_pointer (&plan->unwanted, g_ptr_array_unref);
  g_clear_pointer (&plan->refused, g_ptr_array_unref);
  g_clear_pointer (&plan->roster, roster_free);
  g_clear_pointer (&plan->useless, g_hash_table_unref);
  g_clear_pointer (&plan->unseen, g_ptr_array_unref);
  g_clear_pointer (&plan->create, checkpoint_free);
}

/* The user that QEMU runs as, as far as it is known. */
static bool
qemu_user (const GuestLook *look, uid_t *user, gid_t *group)
{
  *user = look->guest->owner_known ? look->guest->owner : geteuid ();
  *group = look->guest->owner_known ? look->guest->group : getegid ();
  return !look->host && (look->guest->owner_known || !look->privileged);
}

/* Can QEMU's user do what mode says in the folder? */
static bool
check_folder (const LivePlan *plan, const char *purpose, const char *folder,
              int mode, Remedy remedy, GError **error)
{
  uid_t user;
  gid_t group;

  return !qemu_user (plan->look, &user, &group)
    || folder_access (purpose, folder, user, group, mode, NULL, error)
    || error_advise (error, remedy, NULL);
}

static bool
choose_socket (LivePlan *plan, GError **error)
{
  const SourceRequest *request = plan->request;
  const char *folder = request->socket_dir ? request->socket_dir
    : own_folder_place ();

  plan->folder = g_build_filename (folder, plan->mark, NULL);
  if (plan->look->host)
    return true;
  plan->backup->socket = g_build_filename (plan->folder, OWN_SOCKET, NULL);
  if (strlen (plan->backup->socket)
      >= sizeof ((struct sockaddr_un *) NULL)->sun_path)
    return error_set (error, ENAMETOOLONG, "the path of QEMU's socket, %s, is "
                      "too long for Unix", plan->backup->socket)
      || error_advise (error, REMEDY_SOCKET_DIR, NULL);
  return check_folder (plan, "QEMU's socket", folder, X_OK, REMEDY_SOCKET_DIR,
                       error);
}

static bool
choose_tcp (LivePlan *plan, GError **error)
{
  const SourceRequest *request = plan->request;
  const char *host = plan->look->host;

  if (!host)
    return !request->nbd_tls
      || error_set (error, EINVAL, "TLS goes with a remote libvirt; from this "
                    "machine's, data comes over a Unix socket that nobody else "
                    "can reach")
      || error_advise (error, REMEDY_NO_TLS, NULL);
  if (!request->nbd_tls)
    return error_set (error, EINVAL, "libvirt at %s is on another machine, "
                      "from which the disks' content comes over TCP",
                      request->libvirt)
      || error_advise (error, REMEDY_SAY_TLS, NULL);
  plan->backup->host = g_strdup (host);
  plan->backup->port = FIRST_PORT;
  plan->backup->tls = strcmp (request->nbd_tls, "no") != 0;
  return true;
}

/* A new string; NULL with an error: there is no place for it. */
static char *
scratch_path (const LivePlan *plan, const GuestDisk *disk, GError **error)
{
  const bool is_file = strcmp (disk->type, "file") == 0 && disk->source;
  g_autofree char *folder = plan->request->scratch_dir
    ? g_strdup (plan->request->scratch_dir)
    : is_file ? g_path_get_dirname (disk->source) : NULL;
  g_autofree char *name
    = g_strdup_printf ("%s.%s.scratch", plan->mark, disk->target);

  if (!folder) {
    error_set (error, EINVAL, "disk %s is of type %s, so there is no folder "
               "beside it for the scratch file", disk->target, disk->type);
    return error_advise_null (error, REMEDY_SCRATCH_DIR, NULL);
  }
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *parent = g_path_get_dirname (path);
  /* A daemon of the system makes the file, one of the user is the user. */
  return check_folder (plan, "scratch files", parent,
                       plan->look->privileged ? X_OK : W_OK | X_OK,
                       REMEDY_SCRATCH_DIR, error)
    ? g_steal_pointer (&path) : NULL;
}

/* libvirt keeps bitmaps in qcow2 only, and would begin nothing at all if asked
 * for one in version 2.  A file that cannot be seen is taken for a newer one.
 */
static bool
can_hold_bitmap (const GuestLook *look, const GuestDisk *disk)
{
  return g_strcmp0 (disk->format, "qcow2") == 0
    && (look->host || !version_2_is (disk));
}

static bool
add_disk (LivePlan *plan, const GuestDisk *disk, const char *since,
          GError **error)
{
  char *scratch = scratch_path (plan, disk, error);

  if (!scratch)
    return false;
  BackupDisk *wanted = backup_add_disk (plan->backup, disk->target);
  wanted->incremental = g_strdup (since);
  wanted->scratch = scratch;
  if (plan->create && can_hold_bitmap (plan->look, disk))
    checkpoint_cover (plan->create, disk->target, plan->create->name);
  return true;
}

static void
note_unseen (const LivePlan *plan, const char *target, const char *path,
             const char *reason, const char *who_looks)
{
  g_ptr_array_add (plan->unseen, g_strdup_printf (
    "disk %s: it cannot be seen whether %s, below it, has lost its bitmaps "
    "(%s); if a program that does not know them has written there, changed "
    "blocks are missing; start this %s to have it looked at", target, path,
    reason, who_looks));
}

/* Why the bitmap in the file at that place of the chain says nothing, or NULL.
 * then: the place of what the disk was at the checkpoint, or -1.  What lies
 * below is older unless a name was used again, so nothing is said of what
 * cannot be seen there.  A format is never guessed from contents: the guest
 * writes them.
 */
static const char *
look_at_backing (const LivePlan *plan, const GuestChain *chain, guint place,
                 int then, const char *bitmap)
{
  const char *host = plan->look->host;
  const GuestImage *image = guest_chain_image (chain, place);
  const char *path = image->key;
  const bool needed = (int) place == then;
  const bool is_below = then >= 0 && (int) place > then;
  int unseen;

  if (*image->format && strcmp (image->format, "qcow2") != 0)
    return needed ? "it is not qcow2 any more" : NULL;
  if (host || *path != '/') {
    g_autofree char *there
      = g_strdup_printf ("it is on %s", host ? host : "a server");
    if (!is_below)
      note_unseen (plan, chain->target, path, there, "there, as root,");
    return NULL;
  }
  const char *why = image_void_bitmap (path, bitmap, needed, &unseen);
  if (unseen && !is_below)
    note_unseen (plan, chain->target, path, g_strerror (unseen),
                 unseen == EACCES || unseen == EPERM ? "as root"
                 : "where it is");
  return why;
}

/* QEMU told libvirt nothing of bitmaps that it found void in a backing file. */
static bool
check_backing (const LivePlan *plan, const Checkpoint *since,
               const char *target, GError **error)
{
  const GuestChain *chain = guest_chain (plan->look->guest, target);
  const char *bitmap = checkpoint_bitmap (since, target);
  const int place = roster_place (plan->roster, since, target);

  for (guint i = 1; chain && bitmap && i < chain->images->len; i++) {
    const char *path = guest_chain_image (chain, i)->key;
    const char *why = look_at_backing (plan, chain, i, place, bitmap);
    if (why)
      return error_set (error, EIO, "disk %s: all bitmaps of %s, below it, are "
                        "void (%s), so what was written there since "
                        "checkpoint %s is unknown", target, path, why,
                        since->name)
        || error_sort (error, REASON_VOID, path)
        || error_advise (error, REMEDY_FULL_BACKUP, ", with a new checkpoint",
                         NULL);
  }
  return true;
}

bool
live_plan_records (const LivePlan *plan, const Checkpoint *since,
                   const char *target, GError **why)
{
  return roster_check (plan->roster, since, target, why)
    && check_backing (plan, since, target, why)
    && checkpoint_bitmap (since, target);
}

/* Is there a record of the disk since the checkpoint that can be believed? */
static bool
is_recorded (LivePlan *plan, const Checkpoint *since, GHashTable *broken,
             const char *target)
{
  const GError *why = broken ? g_hash_table_lookup (broken, target) : NULL;
  GError *reason = why ? g_error_copy (why) : NULL;

  if (!reason && live_plan_records (plan, since, target, &reason))
    return true;
  if (!reason)
    return false;
  g_hash_table_insert (plan->useless, g_strdup (target), reason);
  return false;
}

static bool
choose_disks (LivePlan *plan, GHashTable *broken, GError **error)
{
  const SourceRequest *request = plan->request;
  const GPtrArray *disks = plan->look->guest->disks;
  const Checkpoint *since = request->checkpoint
    ? forest_lookup (plan->look->tree, request->checkpoint) : NULL;

  for (guint i = 0; i < disks->len; i++) {
    const GuestDisk *disk = g_ptr_array_index (disks, i);
    const bool unwanted
      = request->disk && strcmp (request->disk, disk->target) != 0;
    const bool recorded = since && !unwanted
      && is_recorded (plan, since, broken, disk->target);

    if (unwanted)
      g_ptr_array_add (plan->unwanted, g_strdup (disk->target));
    else if (since && !recorded && !request->on_missing_full)
      g_ptr_array_add (plan->refused, g_strdup (disk->target));
    else if (!add_disk (plan, disk, recorded ? since->name : NULL, error))
      return false;
  }
  return true;
}

/* "; disk vda is of version 2: once the guest is off, type …", or NULL. */
static char *
what_to_amend (const LivePlan *plan)
{
  for (guint i = 0; !plan->look->host && i < plan->backup->disks->len; i++) {
    const BackupDisk *wanted = g_ptr_array_index (plan->backup->disks, i);
    const GuestDisk *disk = guest_disk (plan->look->guest, wanted->target);
    if (!disk || !version_2_is (disk))
      continue;
    g_autofree char *amend = version_2_amend (disk);
    return g_strconcat ("; ", amend, NULL);
  }
  return NULL;
}

static bool
refuse_create (const LivePlan *plan, GError **error)
{
  g_autofree char *amend = what_to_amend (plan);

  error_set (error, ENOTSUP, "checkpoint %s cannot be made: no disk in the "
             "backup is qcow2 of version 3 (qemu-img info -U calls it compat "
             "1.1), and only there can a checkpoint be recorded",
             plan->create->name);
  return error_advise (error, REMEDY_FULL_ALONE, amend, NULL);
}

void
live_plan_look (LivePlan *plan, GuestLook *look)
{
  plan->look = look;
  plan->roster = roster_new (!look->host);
  libvirt_add_chains (plan->roster, look->guest, NULL);
  roster_learn (plan->roster, look->tree);
  plan->unseen = g_ptr_array_new_with_free_func (g_free);
}

bool
live_plan_make (LivePlan *plan, const SourceRequest *request, GuestLook *look,
                GHashTable *broken, GError **error)
{
  plan->request = request;
  live_plan_look (plan, look);
  plan->mark = own_folder_name ();
  plan->backup = backup_new ();
  plan->unwanted = g_ptr_array_new_with_free_func (g_free);
  plan->refused = g_ptr_array_new_with_free_func (g_free);
  plan->useless = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                         (GDestroyNotify) g_error_free);
  if (request->create) {
    plan->create = checkpoint_new (request->create);
    plan->create->description
      = g_strdup_printf ("made with a backup (%s)", plan->mark);
  }
  return choose_tcp (plan, error) && choose_socket (plan, error)
    && choose_disks (plan, broken, error)
    && (!plan->create || plan->create->disks->len > 0
        || plan->backup->disks->len == 0 || refuse_create (plan, error));
}

/* Is the job the one that was asked for, as far as it decides what is read?
 * (The export's names and bitmaps are libvirt's to say.)
 */
static bool
is_as_asked (const LivePlan *plan, const Backup *begun, GError **error)
{
  const Backup *asked = plan->backup;
  bool same = begun->disks->len == asked->disks->len
    && g_strcmp0 (begun->socket, asked->socket) == 0
    && begun->tls == asked->tls;

  for (guint i = 0; same && i < asked->disks->len; i++) {
    const BackupDisk *wanted = g_ptr_array_index (asked->disks, i);
    const BackupDisk *disk = backup_disk (begun, wanted->target);
    same = disk && g_strcmp0 (disk->incremental, wanted->incremental) == 0;
  }
  return same || error_set (error, EIO, "libvirt began another backup job than "
                            "was asked for (other disks, base, socket or "
                            "TLS), which cannot be trusted");
}

bool
live_plan_begin (LivePlan *plan, Keeper *keeper, Backup **backup,
                 Checkpoint **broken, GError **error)
{
  g_autofree char *checkpoint_xml = plan->create
    ? checkpoint_format (plan->create) : NULL;
  g_autoptr (GPtrArray) scratch = g_ptr_array_new ();
  /* Unlisted disks would be backed up, too. */
  g_autoptr (GPtrArray) left_out = g_ptr_array_new ();

  g_ptr_array_extend (left_out, plan->unwanted, NULL, NULL);
  g_ptr_array_extend (left_out, plan->refused, NULL, NULL);
  for (guint i = 0; i < plan->backup->disks->len; i++)
    g_ptr_array_add (scratch, ((const BackupDisk *) g_ptr_array_index (
                                 plan->backup->disks, i))->scratch);
  g_ptr_array_add (scratch, NULL);
  JobRequest job = {
    .checkpoint_xml = checkpoint_xml,
    .checkpoint_name = plan->request->create,
    .mark = plan->mark,
    .folder = plan->folder,
    .take_over = plan->request->take_over,
    .scratch = (const char *const *) scratch->pdata,
  };
  job.qemu_needs_folder
    = qemu_user (plan->look, &job.qemu_user, &job.qemu_group);
  for (guint tries = 1;; tries++) {
    g_autoptr (GError) refusal = NULL;
    g_autofree char *text = backup_format (plan->backup, left_out);
    g_autofree char *begun = NULL;

    job.backup_xml = text;
    if (guest_begin_job (keeper, &job, &begun, broken, &refusal)) {
      *backup = backup_parse (begun, strlen (begun), error);
      return *backup && is_as_asked (plan, *backup, error);
    }
    if (!plan->backup->host || tries == PORTS_TRIED
        || !strstr (refusal->message, "Address already in use")) {
      g_propagate_error (error, g_steal_pointer (&refusal));
      return false;
    }
    plan->backup->port++;       /* another backup has this one */
  }
}
