/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The keeper's connection to libvirt, and the guest that it finds there.
 */
#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/nearest.h"
#include "libvirt/guest.h"
#include "libvirt/kept.h"

#define NAMES_SHOWN 8
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

bool
hypervisor_find (Hypervisor *hypervisor, const char *domain, GError **error)
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
  hypervisor->watched = hypervisor->tells_of_closing = false;
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
