/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What the keeper reads of the guest and its checkpoints, and tells the server.
 * Far away, what does not wait for another's answer is asked at once, and what a job
 * needs before it begins is asked beside it.  Near, nothing is asked before its time.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "keeper/message.h"
#include "libvirt/at-once.h"
#include "libvirt/checkpoints.h"
#include "libvirt/guest.h"
#include "libvirt/kept.h"
#include "libvirt/volume.h"

/* The server waits for each message. */
#define LOOK_LIMIT_S (KEEPER_ANSWER_MS / 1000 + 5)
#define CONNECT_LIMIT_MS (KEEPER_ANSWER_MS - 5000)
/* The documents of so many take no longer than what was asked before a job in turn. */
#define FEW_CHECKPOINTS 8

typedef struct {
  KeptJob *kept;
  const Message *message;
  bool ahead;                   /* a job is to begin, and each round trip is long */
  char *definition;             /* the guest's; NULL: not read yet, or failure */
  GError *failure;
  CheckpointList list;
} Look;

static void
look_clear (Look *look)
{
  g_free (look->definition);
  g_clear_error (&look->failure);
  checkpoint_list_clear (&look->list);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Look, look_clear)

static bool
tell (int fd, guint kind, const char *const *texts, GError **error)
{
  alarm (LOOK_LIMIT_S);
  return message_send (fd, kind, texts)
    || error_set (error, errno, "cannot tell the server of the guest: %s",
                  g_strerror (errno));
}

/* One message each, with the guest's definition of its time: it tells which
 * file was which disk.
 */
static bool
tell_checkpoint (int fd, const char *document, GError **error)
{
  const char *const texts[] = { document, NULL };

  return tell (fd, KEEPER_CHECKPOINT, texts, error);
}

static void
add_sizes (GStrvBuilder *texts, virDomainPtr domain, const char *xml)
{
  g_autoptr (Guest) guest = guest_parse (xml, strlen (xml), NULL);

  if (!guest || !guest->running)
    return;
  for (guint i = 0; i < guest->disks->len; i++) {
    const GuestDisk *disk = g_ptr_array_index (guest->disks, i);
    virDomainBlockInfo info;
    if (virDomainGetBlockInfo (domain, disk->target, &info, 0) < 0)
      continue;
    g_autofree char *capacity = g_strdup_printf ("%llu", info.capacity);
    g_strv_builder_add_many (texts, disk->target, capacity, NULL);
  }
}

static bool
tell_volume (const Hypervisor *hypervisor, const char *target, guint place,
             const GuestImage *image, int fd, GError **error)
{
  g_autoptr (GError) why = NULL;
  g_autofree char *name = volume_name (hypervisor, image, &why);
  g_autofree char *number = g_strdup_printf ("%u", place);
  const char *const texts[] = {
    target, number, name ? name : "", why ? why->message : "", NULL,
  };

  return tell (fd, KEEPER_VOLUME, texts, error);
}

/* Of a guest that is off, and whose images are here: one that runs is not read
 * by the paths of its disks.
 */
static bool
tell_volumes (const Hypervisor *hypervisor, const char *xml, int fd,
              GError **error)
{
  g_autoptr (Guest) guest = guest_parse (xml, strlen (xml), NULL);

  if (!guest || guest->running || hypervisor->remote)
    return true;
  for (guint i = 0; i < guest->disks->len; i++) {
    const GuestDisk *disk = g_ptr_array_index (guest->disks, i);
    const GuestChain *chain = guest_chain (guest, disk->target);
    for (guint j = 0; j < chain->images->len; j++) {
      const GuestImage *image = guest_chain_image (chain, j);
      if (image->volume
          && !tell_volume (hypervisor, disk->target, j, image, fd, error))
        return false;
    }
  }
  return true;
}

static bool
tell_guest (const Look *look, int fd, GError **error)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  const Hypervisor *hypervisor = &look->kept->hypervisor;
  g_autofree char *uri = virConnectGetURI (hypervisor->connection);
  bool privileged;
  g_autofree char *host = guest_split_uri (uri, &privileged);

  if (!tell_volumes (hypervisor, look->definition, fd, error))
    return false;
  g_strv_builder_add_many (builder, look->definition, host ? host : "",
                           uri ? uri : hypervisor->uri, privileged ? "1" : "",
                           NULL);
  /* Each of them is a question. */
  if (!*message_text (look->message, LOOK_WRITABLE))
    add_sizes (builder, hypervisor->domain, look->definition);
  g_auto (GStrv) texts = g_strv_builder_end (builder);
  return tell (fd, KEEPER_GUEST, (const char *const *) texts, error);
}

/* One that is unknown is not told: it may be gone.  Of a guest that is off,
 * libvirt knows no sizes, and would refuse all.
 */
static bool
tell_document (const Hypervisor *hypervisor, int fd, const Message *message,
               GError **error)
{
  const char *name = message_text (message, LOOK_CHECKPOINT);
  virDomainPtr domain = hypervisor->domain;
  guint flags = 0;

  if (!*name)
    return true;
  if (*message_text (message, LOOK_NO_DOMAIN))
    flags |= VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN;
  if (*message_text (message, LOOK_SECURITY_INFO))
    flags |= VIR_DOMAIN_CHECKPOINT_XML_SECURE;
  if (*message_text (message, LOOK_SIZE) && virDomainIsActive (domain) == 1)
    flags |= VIR_DOMAIN_CHECKPOINT_XML_SIZE;
  g_autoptr (virDomainCheckpoint) checkpoint
    = virDomainCheckpointLookupByName (domain, name, 0);
  if (!checkpoint && virGetLastErrorCode () == VIR_ERR_NO_DOMAIN_CHECKPOINT)
    return true;
  g_autofree char *text
    = checkpoint ? virDomainCheckpointGetXMLDesc (checkpoint, flags) : NULL;
  if (!text)
    return hypervisor_error (error, "guest %s: cannot read its checkpoint %s",
                             hypervisor->domain_name, name);
  const char *const texts[] = { text, NULL };
  return tell (fd, KEEPER_DOCUMENT, texts, error);
}

/* QEMU's user, to whom our folders may belong. */
static uid_t
qemu_user (virDomainPtr domain)
{
  g_autofree char *xml = virDomainGetXMLDesc (domain, 0);
  g_autoptr (Guest) guest = xml ? guest_parse (xml, strlen (xml), NULL) : NULL;

  return guest && guest->owner_known ? guest->owner : geteuid ();
}

/* True if none runs, as far as is known, so that QEMU can be asked for sizes. */
static bool
tell_job (const Hypervisor *hypervisor, int fd, const Message *message,
          GError **error)
{
  virDomainJobInfo info;

  if (owner_look (hypervisor, message_text (message, LOOK_SOCKET_DIR),
                  qemu_user (hypervisor->domain), error)) {
    if (virDomainGetJobInfo (hypervisor->domain, &info) < 0
        || info.type == VIR_DOMAIN_JOB_NONE)
      return true;
    error_set (error, EBUSY, "guest %s has a job that is no backup (a "
               "migration, or its state is saved)", hypervisor->domain_name);
    error_sort (error, REASON_JOB_OTHER, NULL);
  }
  alarm (LOOK_LIMIT_S);
  telling_send_error (fd, KEEPER_JOB, *error);
  g_clear_error (error);
  return false;
}

static bool
is_running (const Look *look)
{
  g_autoptr (Guest) guest = look->definition
    ? guest_parse (look->definition, strlen (look->definition), NULL) : NULL;

  return guest && guest->running;
}

static void
read_definition (Look *look)
{
  const Hypervisor *hypervisor = &look->kept->hypervisor;

  look->definition = virDomainGetXMLDesc (hypervisor->domain, 0);
  if (!look->definition)
    hypervisor_error (&look->failure, "guest %s: cannot read its definition",
                      hypervisor->domain_name);
}

static bool
tell_checkpoints (Look *look, int fd, GError **error)
{
  const Hypervisor *hypervisor = &look->kept->hypervisor;
  const Message *message = look->message;
  const AtOnce beside = { watch_ask_late, look->kept,
                          look->ahead && is_running (look) ? WATCH_LATE : 0 };
  guint flags = 0;

  if (*message_text (message, LOOK_NO_CHECKPOINTS))
    return true;
  if (*message_text (message, LOOK_EXAMINE)
      && virDomainIsActive (hypervisor->domain) == 1
      && tell_job (hypervisor, fd, message, error))
    flags = VIR_DOMAIN_CHECKPOINT_XML_SIZE;
  return checkpoint_list_tell (&look->list, hypervisor, flags, &beside,
                               tell_checkpoint, fd, error);
}

/* An AtOnceAsk. */
static void
ask_first (void *opaque, guint which)
{
  Look *look = opaque;

  if (which > 0)
    read_definition (look);
  else if (!*message_text (look->message, LOOK_NO_CHECKPOINTS))
    checkpoint_list_ask (&look->list, &look->kept->hypervisor);
}

static void
look_first (Look *look)
{
  const AtOnce questions[] = {
    { ask_first, look, look->ahead ? 2 : 1 },
    { watch_ask_early, look->kept, look->ahead ? WATCH_EARLY : 0 },
  };

  at_once (questions, G_N_ELEMENTS (questions));
}

/* One that was read ahead serves for a job that begins at once.  Else it is read last:
 * it says which files are opened, of a guest that may have run meanwhile.
 */
static bool
look_last (Look *look, GError **error)
{
  const bool serves = look->failure
    || (is_running (look) && look->list.count <= FEW_CHECKPOINTS);

  if (!serves) {
    g_clear_pointer (&look->definition, g_free);
    read_definition (look);
  }
  if (!look->failure)
    return true;
  g_propagate_error (error, g_steal_pointer (&look->failure));
  return false;
}

/* Is libvirt on another machine?  Its URI tells, which is known without asking. */
static bool
is_remote (virConnectPtr connection)
{
  g_autofree char *uri = virConnectGetURI (connection);
  bool privileged;
  g_autofree char *host = guest_split_uri (uri, &privileged);

  return host != NULL;
}

bool
hypervisor_look (KeptJob *kept, const Message *message, GError **error)
{
  Hypervisor *hypervisor = &kept->hypervisor;
  const int fd = kept->telling->fd;
  const bool writable = *message_text (message, LOOK_WRITABLE);
  g_auto (Look) look = { .kept = kept, .message = message };

  alarm (LOOK_LIMIT_S);
  hypervisor->uri = g_strdup (message_text (message, LOOK_URI));
  hypervisor->connection
    = hypervisor_open (hypervisor->uri, writable, CONNECT_LIMIT_MS, error);
  if (!hypervisor->connection
      || !hypervisor_find (hypervisor, message_text (message, LOOK_DOMAIN),
                           error))
    return false;
  hypervisor->remote = is_remote (hypervisor->connection);
  look.ahead = hypervisor->remote && *message_text (message, LOOK_BEGIN);
  look_first (&look);
  return tell_checkpoints (&look, fd, error)
    && tell_document (hypervisor, fd, message, error)
    && look_last (&look, error)
    && tell_guest (&look, fd, error);
}
