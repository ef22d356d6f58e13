/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The keeper's connection to libvirt, and what it reads there.
 */
#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/nearest.h"
#include "keeper/message.h"
#include "libvirt/guest.h"
#include "libvirt/kept.h"
#include "libvirt/volume.h"

#define NAMES_SHOWN 8
/* The server waits for each message. */
#define LOOK_LIMIT_S (KEEPER_ANSWER_MS / 1000 + 5)
#define CONNECT_LIMIT_MS (KEEPER_ANSWER_MS - 5000)
/* For a daemon that restarts. */
#define RECONNECT_MS 15000
#define RECONNECT_INTERVAL_MS 200

static int
errno_of (const virError *reason)
{
  switch (reason ? reason->code : VIR_ERR_INTERNAL_ERROR) {
  case VIR_ERR_NO_DOMAIN:
  case VIR_ERR_NO_DOMAIN_CHECKPOINT:
  case VIR_ERR_NO_DOMAIN_BACKUP:
    return ENOENT;
  case VIR_ERR_AUTH_FAILED:
  case VIR_ERR_AUTH_CANCELLED:
  case VIR_ERR_AUTH_UNAVAILABLE:
  case VIR_ERR_ACCESS_DENIED:
  case VIR_ERR_OPERATION_DENIED:
    return EACCES;
  case VIR_ERR_NO_SUPPORT:
  case VIR_ERR_OPERATION_UNSUPPORTED:
  case VIR_ERR_CONFIG_UNSUPPORTED:
  case VIR_ERR_ARGUMENT_UNSUPPORTED:
    return ENOTSUP;
  case VIR_ERR_OPERATION_TIMEOUT:
    return EBUSY;               /* another job holds the guest */
  case VIR_ERR_INVALID_ARG:
  case VIR_ERR_XML_ERROR:
  case VIR_ERR_XML_INVALID_SCHEMA:
    return EINVAL;
  default:
    return EIO;
  }
}

bool
hypervisor_error (GError **error, const char *format, ...)
{
  const virError *reason = virGetLastError ();
  va_list arguments;

  va_start (arguments, format);
  g_autofree char *what = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  return error_set (error, errno_of (reason), "%s: %s", what,
                    reason && reason->message
                    ? reason->message : "libvirt does not say why");
}

bool
hypervisor_advise (GError **error, const char *advice, const char *command)
{
  g_autoptr (GError) reason = error ? g_steal_pointer (error) : NULL;

  return reason && error_set (error, reason->code, "%s; %s %s",
                              reason->message, advice, command);
}

char *
hypervisor_virsh (const Hypervisor *hypervisor, const char *command,
                  const char *name)
{
  return error_virsh (hypervisor->uri, command, hypervisor->domain_name,
                      name);
}

bool
hypervisor_guest_is_off (const Hypervisor *hypervisor)
{
  const int active = virDomainIsActive (hypervisor->domain);

  return active == 0
    || (active < 0 && virGetLastErrorCode () == VIR_ERR_NO_DOMAIN);
}

bool
hypervisor_guest_answers (const Hypervisor *hypervisor)
{
  virDomainBlockStatsStruct counters;

  return virDomainBlockStats (hypervisor->domain, "", &counters,
                              sizeof counters) == 0;
}

static bool
tell (int fd, guint kind, const char *const *texts, GError **error)
{
  alarm (LOOK_LIMIT_S);
  return message_send (fd, kind, texts)
    || error_set (error, errno, "cannot tell the server of the guest: %s",
                  g_strerror (errno));
}

/* The names of all guests, for a message. */
static char *
known_guests (virConnectPtr connection)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  virDomainPtr *domains = NULL;
  const int count = virConnectListAllDomains (connection, &domains, 0);

  for (int i = 0; i < count; i++) {
    g_ptr_array_add (names, g_strdup (virDomainGetName (domains[i])));
    virDomainFree (domains[i]);
  }
  free (domains);
  return names->len > 0 ? nearest_names (NULL, names, NAMES_SHOWN)
    : g_strdup ("none; is it at another libvirt, such as qemu:///system, or "
                "qemu:///session of another user?");
}

static bool
find_guest (Hypervisor *hypervisor, const char *domain, GError **error)
{
  virConnectPtr connection = hypervisor->connection;
  guint64 id;

  hypervisor->domain = virDomainLookupByName (connection, domain);
  if (!hypervisor->domain && g_uuid_string_is_valid (domain))
    hypervisor->domain = virDomainLookupByUUIDString (connection, domain);
  /* Last, unlike virsh: a guest's own name must not be another's ID some day. */
  if (!hypervisor->domain
      && g_ascii_string_to_unsigned (domain, 10, 0, G_MAXINT, &id, NULL))
    hypervisor->domain = virDomainLookupByID (connection, (int) id);
  if (hypervisor->domain) {
    hypervisor->domain_name
      = g_strdup (virDomainGetName (hypervisor->domain));
    return virDomainGetUUIDString (hypervisor->domain, hypervisor->uuid) == 0;
  }
  if (virGetLastErrorCode () != VIR_ERR_NO_DOMAIN)
    return hypervisor_error (error, "guest %s", domain);
  g_autofree char *known = known_guests (connection);
  return error_set (error, ENOENT, "there is no guest %s on %s; there are: %s",
                    domain, hypervisor->uri, known);
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

/* with_sizes: of the disks of one that runs, each of which is a question. */
static bool
tell_guest (Hypervisor *hypervisor, bool with_sizes, int fd, GError **error)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  virDomainPtr domain = hypervisor->domain;
  g_autofree char *xml = virDomainGetXMLDesc (domain, 0);
  g_autofree char *uri = virConnectGetURI (hypervisor->connection);
  bool privileged;
  g_autofree char *host = guest_split_uri (uri, &privileged);

  hypervisor->remote = host != NULL;
  if (!xml)
    return hypervisor_error (error, "guest %s: cannot read its definition",
                             hypervisor->domain_name);
  life_note_answers (hypervisor, 1);
  if (!tell_volumes (hypervisor, xml, fd, error))
    return false;
  g_strv_builder_add_many (builder, xml, host ? host : "",
                           uri ? uri : hypervisor->uri, privileged ? "1" : "",
                           NULL);
  if (with_sizes)
    add_sizes (builder, domain, xml);
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
tell_checkpoints (Hypervisor *hypervisor, int fd, const Message *message,
                  GError **error)
{
  guint flags = 0;

  if (*message_text (message, LOOK_NO_CHECKPOINTS))
    return true;
  if (*message_text (message, LOOK_EXAMINE)
      && virDomainIsActive (hypervisor->domain) == 1
      && tell_job (hypervisor, fd, message, error))
    flags = VIR_DOMAIN_CHECKPOINT_XML_SIZE;
  return hypervisor_checkpoints (hypervisor, flags, tell_checkpoint, fd,
                                 error);
}

bool
hypervisor_look (Hypervisor *hypervisor, int fd, const Message *message,
                 GError **error)
{
  const char *uri = message_text (message, LOOK_URI);
  const char *domain = message_text (message, LOOK_DOMAIN);
  const bool writable = *message_text (message, LOOK_WRITABLE);

  alarm (LOOK_LIMIT_S);
  hypervisor->uri = g_strdup (uri);
  hypervisor->connection
    = hypervisor_open (uri, writable, CONNECT_LIMIT_MS, error);
  if (!hypervisor->connection || !find_guest (hypervisor, domain, error))
    return false;
  if (writable)
    life_look_ahead (hypervisor);
  return tell_checkpoints (hypervisor, fd, message, error)
    && tell_document (hypervisor, fd, message, error)
    && tell_guest (hypervisor, !writable, fd, error);
}

/* What was there is let go only when all is found anew; until then its names
 * and handles stay good for messages.
 */
static bool
connect_anew (Hypervisor *hypervisor, int limit_ms, GError **error)
{
  virConnectPtr connection
    = hypervisor_open (hypervisor->uri, true, limit_ms, error);
  virDomainPtr domain = connection
    ? virDomainLookupByUUIDString (connection, hypervisor->uuid) : NULL;

  if (connection && !domain) {
    hypervisor_error (error, "guest %s", hypervisor->domain_name);
    virConnectClose (connection);
  }
  if (!domain)
    return false;
  virDomainFree (hypervisor->domain);
  virConnectClose (hypervisor->connection);
  hypervisor->connection = connection;
  hypervisor->domain = domain;
  hypervisor->watched = hypervisor->tells_of_closing = hypervisor->quiet = false;
  hypervisor->lifecycle_id = hypervisor->completed_id
    = hypervisor->status_id = -1;
  return true;
}

bool
hypervisor_reconnect (Hypervisor *hypervisor, GError **error)
{
  const gint64 deadline = g_get_monotonic_time () + RECONNECT_MS * 1000LL;
  int left_ms = RECONNECT_MS;

  for (;;) {
    g_autoptr (GError) refusal = NULL;

    if (connect_anew (hypervisor, left_ms, &refusal))
      return true;
    left_ms = (int) ((deadline - g_get_monotonic_time ()) / 1000);
    if (refusal->code == ENOENT || left_ms <= 0) {
      g_propagate_error (error, g_steal_pointer (&refusal));
      return false;
    }
    g_usleep (RECONNECT_INTERVAL_MS * 1000);
  }
}
