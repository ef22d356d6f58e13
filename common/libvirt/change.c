/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Changes of a guest's checkpoints, as libvirt makes them.
 *
 * Facts (libvirt 9.0 and 11.3, src/qemu/qemu_checkpoint.c): its QEMU driver
 * does not know VIR_DOMAIN_CHECKPOINT_CREATE_QUIESCE, so we freeze and thaw.
 * Deleting with _CHILDREN, where one of them has lost its bitmap, leaves
 * pointers to those that are freed (qemuDomainMomentDiscardAll), and libvirtd
 * crashes at the next look; so each is deleted by itself.  And one that cannot
 * be deleted has lost its children to its parent by then
 * (qemuCheckpointReparentChildren).
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/nearest.h"
#include "libvirt/guest.h"
#include "libvirt/kept.h"
#include "tree/amend.h"
#include "tree/checkpoint.h"

#define CHANGE_LIMIT_S (KEEPER_ANSWER_MS / 1000 + 5)
/* A guest that may be frozen is not left alone sooner: the process tries for
 * ten minutes to thaw it.
 */
#define QUIESCE_LIMIT_S 900
#define THAWS_WITHIN_S 3       /* a lost connection may take longer */
#define NAMES_SHOWN 8
#define THAW_AGAIN_US (G_USEC_PER_SEC / 2)

/* libvirt's last error, on what was tried.  If its daemon is gone, nobody has
 * told how far that came.
 */
static bool
fail (const Hypervisor *hypervisor, const char *name, const char *document,
      GError **error)
{
  const int code = virGetLastErrorCode ();
  g_autoptr (GError) refusal = NULL;

  hypervisor_error (&refusal, "guest %s", hypervisor->domain_name);
  if (virConnectIsAlive (hypervisor->connection) == 1)
    refusal_explain (hypervisor, code, name, document, &refusal);
  else {
    g_autofree char *command
      = hypervisor_virsh (hypervisor, "checkpoint-list", NULL);
    refusal->code = ECONNRESET;
    hypervisor_advise (&refusal, "whether it was done is not known; to see, "
                       "type", command);
  }
  g_propagate_error (error, g_steal_pointer (&refusal));
  return false;
}

static char *
name_in (const char *document)
{
  g_autoptr (Checkpoint) checkpoint
    = checkpoint_parse (document, strlen (document),
                        CHECKPOINT_PARSE_DEFAULT, NULL);

  return g_strdup (checkpoint ? checkpoint->name : "");
}

static bool
make (const Hypervisor *hypervisor, const char *document, guint flags,
      GError **error)
{
  g_autoptr (virDomainCheckpoint) made
    = virDomainCheckpointCreateXML (hypervisor->domain, document, flags);

  if (made)
    return true;
  g_autofree char *name = name_in (document);
  return fail (hypervisor, name, document, error);
}

/* ── Frozen meanwhile ── */

/* Its agent may have done what it was told, though nobody heard. */
static bool
may_be_frozen (const Hypervisor *hypervisor, const char *text)
{
  return virConnectIsAlive (hypervisor->connection) != 1
    || strstr (text, "while executing command") || strstr (text, "timed out");
}

static bool
freeze (KeptJob *kept, GError **error)
{
  const Hypervisor *hypervisor = &kept->hypervisor;

  g_autoptr (GError) refusal = NULL;

  kept->frozen = true;
  if (virDomainFSFreeze (hypervisor->domain, NULL, 0, 0) >= 0)
    return true;
  const bool is_silent = virGetLastErrorCode () == VIR_ERR_AGENT_UNRESPONSIVE;
  hypervisor_error (&refusal, "guest %s: its file systems cannot be frozen, "
                    "so nothing was made", hypervisor->domain_name);
  kept->frozen = may_be_frozen (hypervisor, refusal->message);
  /* An agent that somebody gave a time limit (virsh guest-agent-timeout) may
   * get there later than that.
   */
  if (is_silent && !kept->frozen)
    virDomainFSThaw (hypervisor->domain, NULL, 0, 0);
  if (strstr (refusal->message, "agent"))
    error_advise (&refusal, REMEDY_NO_QUIESCE, NULL);
  g_propagate_error (error, g_steal_pointer (&refusal));
  return false;
}

static bool
thaw_once (Hypervisor *hypervisor, GError **error)
{
  g_autoptr (GError) refusal = NULL;

  if (virConnectIsAlive (hypervisor->connection) != 1
      && !hypervisor_reconnect (hypervisor, &refusal)
      && refusal->code != ENOENT) {
    g_propagate_error (error, g_steal_pointer (&refusal));
    return false;
  }
  if (refusal || virDomainFSThaw (hypervisor->domain, NULL, 0, 0) >= 0)
    return true;
  hypervisor_error (error, "guest %s", hypervisor->domain_name);
  if (!hypervisor_guest_is_off (hypervisor))
    return false;
  g_clear_error (error);
  return true;
}

bool
change_thaw (KeptJob *kept, GError **error)
{
  Hypervisor *hypervisor = &kept->hypervisor;
  const gint64 deadline
    = g_get_monotonic_time () + THAWS_WITHIN_S * G_TIME_SPAN_SECOND;
  g_autoptr (GError) refusal = NULL;

  while (kept->frozen) {
    g_clear_error (&refusal);
    kept->frozen = !thaw_once (hypervisor, &refusal);
    if (g_get_monotonic_time () > deadline)
      break;
    if (kept->frozen)
      g_usleep (THAW_AGAIN_US);
  }
  if (!kept->frozen) {
    alarm (0);
    return true;
  }
  g_autofree char *command = hypervisor_virsh (hypervisor, "domfsthaw", NULL);
  return error_set (error, EIO, "guest %s: its file systems are still frozen, "
                    "and cannot be thawed (%s); this is tried for ten minutes "
                    "more; once its agent answers, type %s",
                    hypervisor->domain_name, refusal->message, command);
}

/* Nobody waits any more for one whose server has ended while it was frozen. */
static bool
make_frozen (KeptJob *kept, const char *document, GError **error)
{
  g_autoptr (GError) trouble = NULL;

  alarm (QUIESCE_LIMIT_S);
  const bool made = freeze (kept, error)
    && !telling_server_is_gone (kept->telling)
    && make (&kept->hypervisor, document, 0, error);
  if (change_thaw (kept, &trouble))
    return made;
  if (made)
    error_set (error, EIO, "the checkpoint was made, but %s",
               trouble->message);
  else {
    g_autoptr (GError) refusal = error ? g_steal_pointer (error) : NULL;
    error_set (error, EIO, "%s; and then: %s",
               refusal ? refusal->message : "", trouble->message);
    error_advise_as (error, refusal);
  }
  return false;
}

/* ── Documents ── */

/* As libvirt does when it makes a checkpoint: with the guest as it is now. */
static char *
add_domain (const Hypervisor *hypervisor, const char *document,
            GError **error)
{
  const char *end = g_strrstr (document, "</domaincheckpoint>");
  g_autofree char *domain = virDomainGetXMLDesc (
    hypervisor->domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);

  if (!domain) {
    fail (hypervisor, "", NULL, error);
    return NULL;
  }
  return end ? g_strdup_printf ("%.*s%s</domaincheckpoint>\n",
                                (int) (end - document), document, domain)
    : g_strdup (document);
}

static bool
redefine (const Hypervisor *hypervisor, const Message *message,
          GError **error)
{
  const char *document = message_text (message, CHANGE_DOCUMENT);
  guint flags = VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE;
  g_autofree char *whole = *message_text (message, CHANGE_ADD_DOMAIN)
    ? add_domain (hypervisor, document, error) : g_strdup (document);

  if (*message_text (message, CHANGE_VALIDATE))
    flags |= VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE_VALIDATE;
  return whole && make (hypervisor, whole, flags, error);
}

static virDomainCheckpointPtr
find (const Hypervisor *hypervisor, const char *name, GError **error)
{
  virDomainCheckpointPtr found
    = virDomainCheckpointLookupByName (hypervisor->domain, name, 0);

  if (!found)
    fail (hypervisor, name, NULL, error);
  return found;
}

/* "": no parent. */
static bool
move_to (const Hypervisor *hypervisor, virDomainCheckpointPtr checkpoint,
         const char *parent, GError **error)
{
  g_autofree char *document = virDomainCheckpointGetXMLDesc (
    checkpoint, VIR_DOMAIN_CHECKPOINT_XML_SECURE);

  if (!document)
    return fail (hypervisor, virDomainCheckpointGetName (checkpoint), NULL,
                 error);
  gsize length;
  g_autofree char *moved = amend_parent (document, strlen (document),
                                         *parent ? parent : NULL, &length,
                                         error);
  return moved && make (hypervisor, moved,
                        VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE, error);
}

static bool
move (const Hypervisor *hypervisor, const Message *message, GError **error)
{
  g_autoptr (virDomainCheckpoint) checkpoint
    = find (hypervisor, message_text (message, CHANGE_NAMES), error);

  return checkpoint
    && move_to (hypervisor, checkpoint,
                message_text (message, CHANGE_NAMES + 1), error);
}

/* ── Deleting ── */

/* If it fails, its children are its own again. */
static bool
delete_one (const Hypervisor *hypervisor, virDomainCheckpointPtr checkpoint,
            guint flags, GError **error)
{
  const char *name = virDomainCheckpointGetName (checkpoint);
  virDomainCheckpointPtr *children = NULL;
  const int count
    = virDomainCheckpointListAllChildren (checkpoint, &children, 0);
  const bool ok
    = count >= 0 && virDomainCheckpointDelete (checkpoint, flags) == 0;
  /* Each try would take as long again, and it has not come that far. */
  const bool is_locked = virGetLastErrorCode () == VIR_ERR_OPERATION_TIMEOUT;

  if (!ok)
    fail (hypervisor, name, NULL, error);
  for (int i = 0; i < count; i++) {
    if (!ok && !is_locked)
      move_to (hypervisor, children[i], name, NULL);
    virDomainCheckpointFree (children[i]);
  }
  free (children);
  return ok;
}

/* It failed with the one before these, and those before that are deleted. */
static void
say_deleted (const Message *message, guint count, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autoptr (GError) refusal = g_steal_pointer (error);

  for (guint i = 0; i < count; i++)
    g_ptr_array_add (names,
                     (char *) message_text (message, CHANGE_NAMES + i));
  g_autofree char *list = nearest_names (NULL, names, NAMES_SHOWN);
  error_set (error, refusal->code, "%s; deleted before that: %s",
             refusal->message, list);
  error_advise_as (error, refusal);
}

static bool
delete (const KeptJob *kept, const Message *message, GError **error)
{
  const Hypervisor *hypervisor = &kept->hypervisor;
  const guint flags = *message_text (message, CHANGE_METADATA_ONLY)
    ? VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY : 0;

  for (guint i = CHANGE_NAMES; *message_text (message, i); i++) {
    g_autoptr (GError) refusal = NULL;
    g_autoptr (virDomainCheckpoint) checkpoint
      = find (hypervisor, message_text (message, i), &refusal);
    if (!checkpoint
        || !delete_one (hypervisor, checkpoint, flags, &refusal)) {
      if (i > CHANGE_NAMES)
        say_deleted (message, i - CHANGE_NAMES, &refusal);
      g_propagate_error (error, g_steal_pointer (&refusal));
      return false;
    }
    alarm (CHANGE_LIMIT_S);
    telling_say (kept->telling, KEEPER_CHANGING, NULL, NULL);
  }
  return true;
}

bool
change_make (void *opaque, const Message *message, GError **error)
{
  KeptJob *kept = opaque;
  const char *document = message_text (message, CHANGE_DOCUMENT);
  bool ok = false;

  alarm (CHANGE_LIMIT_S);
  switch (*message_text (message, CHANGE_KIND) - '0') {
  case GUEST_CREATE:
    ok = *message_text (message, CHANGE_QUIESCE)
      ? make_frozen (kept, document, error)
      : make (&kept->hypervisor, document, 0, error);
    break;
  case GUEST_REDEFINE:
    ok = redefine (&kept->hypervisor, message, error);
    break;
  case GUEST_MOVE:
    ok = move (&kept->hypervisor, message, error);
    break;
  case GUEST_DELETE:
    ok = delete (kept, message, error);
    break;
  default:
    error_set (error, EINVAL, "unknown change");
  }
  if (!kept->frozen)
    alarm (0);
  return ok;
}
