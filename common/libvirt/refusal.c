/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What libvirt's last words mean where a checkpoint is made, redefined or
 * deleted, and what to type.  libvirt hands on QEMU's own words, and often has
 * no code of its own for them.  Sources: libvirt's src/qemu/qemu_checkpoint.c
 * and src/conf/virdomainmomentobjlist.c, QEMU's block/dirty-bitmap.c.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "libvirt/guest-xml.h"
#include "libvirt/kept.h"
#include "tree/checkpoint.h"
#include "tree/redefine.h"

#define NAMES_SHOWN 8

/* The checkpoint's disks, of which libvirt does not say which it means: those
 * that the document names, or all that the guest has.
 */
static GPtrArray *
covered (const Hypervisor *hypervisor, const char *document)
{
  GPtrArray *targets = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (Checkpoint) checkpoint = document
    ? checkpoint_parse (document, strlen (document),
                        CHECKPOINT_PARSE_DEFAULT, NULL) : NULL;
  g_autofree char *xml = checkpoint && checkpoint->disks->len == 0
    ? virDomainGetXMLDesc (hypervisor->domain, 0) : NULL;
  g_autoptr (Guest) guest = xml ? guest_parse (xml, strlen (xml), NULL) : NULL;

  for (guint i = 0; checkpoint && i < checkpoint->disks->len; i++) {
    const CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, i);
    if (disk->bitmap)
      g_ptr_array_add (targets, g_strdup (disk->name));
  }
  for (guint i = 0; guest && i < guest->disks->len; i++)
    g_ptr_array_add (targets, g_strdup (((const GuestDisk *) g_ptr_array_index (
                                           guest->disks, i))->target));
  return targets;
}

/* libvirt has forgotten a checkpoint of that name, the disks have not. */
static void
explain_leftover (const Hypervisor *hypervisor, const char *name,
                  const char *document, GError **error)
{
  g_autoptr (GPtrArray) targets = covered (hypervisor, document);
  g_autoptr (GError) refusal = g_steal_pointer (error);

  g_autofree char *disks = nearest_names (NULL, targets, NAMES_SHOWN);
  error_set (error, EEXIST, "%s; one or more of disk %s have a bitmap %s, of a "
             "checkpoint that libvirt does not know any more, or of another "
             "program's", refusal->message, disks, name);
  error_advise (error, REMEDY_DELETE_LEFTOVERS, hypervisor->uri,
                hypervisor->domain_name, name, NULL);
}

static void
explain_known (const Hypervisor *hypervisor, const char *name,
               const char *document G_GNUC_UNUSED, GError **error)
{
  g_autofree char *command
    = hypervisor_virsh (hypervisor, "checkpoint-delete", name);
  g_autofree char *delete
    = g_strconcat ("delete that one with: ", command, NULL);

  (*error)->code = EEXIST;
  error_advise (error, REMEDY_OTHER_NAME, delete, NULL);
}

static void
explain_lost_bitmap (const Hypervisor *hypervisor, const char *name,
                     const char *document G_GNUC_UNUSED, GError **error)
{
  (*error)->code = ENOENT;
  error_advise (error, REMEDY_FORGET, hypervisor->uri,
                hypervisor->domain_name, name, NULL);
}

static void
explain_busy (const Hypervisor *hypervisor,
              const char *name G_GNUC_UNUSED,
              const char *document G_GNUC_UNUSED, GError **error)
{
  g_autofree char *command
    = hypervisor_virsh (hypervisor, "domjobinfo", NULL);

  (*error)->code = EBUSY;
  hypervisor_advise (error, "a backup or another job of the guest is using it; "
                     "wait until that has ended; to see, type", command);
}

static void
explain_off (const Hypervisor *hypervisor G_GNUC_UNUSED,
             const char *name G_GNUC_UNUSED,
             const char *document G_GNUC_UNUSED, GError **error)
{
  g_autoptr (GError) refusal = g_steal_pointer (error);

  error_set (error, EAGAIN, "%s; it was shut down meanwhile, so type the same "
             "again", refusal->message);
}

static void
explain_rights (const Hypervisor *hypervisor G_GNUC_UNUSED,
                const char *name G_GNUC_UNUSED,
                const char *document G_GNUC_UNUSED, GError **error)
{
  g_autoptr (GError) refusal = g_steal_pointer (error);
  g_autofree char *user = error_user ();

  error_set (error, EACCES, "%s; %s may only look: be a user who may change "
             "guests there", refusal->message, user);
}

static void
explain_broken (const Hypervisor *hypervisor G_GNUC_UNUSED,
                const char *name G_GNUC_UNUSED,
                const char *document G_GNUC_UNUSED, GError **error)
{
  error_advise (error, REMEDY_FULL_BACKUP, ", with a new checkpoint", NULL);
}

/* By libvirt's code (0: any), and words of its own or QEMU's. */
static const struct {
  int code;
  const char *words;
  void (*explain) (const Hypervisor *hypervisor, const char *name,
                   const char *document, GError **error);
} meanings[] = {
  { 0, "Bitmap already exists", explain_leftover },
  { VIR_ERR_OPERATION_FAILED, "already exists", explain_known },
  { 0, "not found in backing chain", explain_lost_bitmap },
  { 0, "currently in use by another operation", explain_busy },
  { VIR_ERR_OPERATION_TIMEOUT, "", explain_busy },
  { VIR_ERR_CHECKPOINT_INCONSISTENT, "", explain_broken },
  { VIR_ERR_OPERATION_UNSUPPORTED, "inactive domain", explain_off },
  { VIR_ERR_OPERATION_DENIED, "", explain_rights },
  { VIR_ERR_ACCESS_DENIED, "", explain_rights },
};

bool
refusal_explain (const Hypervisor *hypervisor, int code, const char *name,
                 const char *document, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (meanings); i++)
    if ((meanings[i].code == 0 || meanings[i].code == code)
        && strstr ((*error)->message, meanings[i].words)) {
      meanings[i].explain (hypervisor, name, document, error);
      break;
    }
  return false;
}
