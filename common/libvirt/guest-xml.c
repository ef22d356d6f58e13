/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * See guest-xml.h.
 */
#include <config.h>

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <glib-unix.h>

#include "base/error.h"
#include "base/xml-text.h"
#include "libvirt/guest-xml.h"
#include "tree/checkpoint.h"
#include "tree/source-key.h"

/* LOGIN_NAME_MAX of Linux, and room for a group, which may have thousands of
 * members. */
#define MAX_USER_NAME 255
#define MAX_ENTRY (1024 * 1024)

static const XmlRules rules = {
  "guest XML", "guest", "domain", GUEST_MAX_BYTES, 1, true,
};

static void
guest_disk_free (void *data)
{
  GuestDisk *disk = data;

  g_free (disk->target);
  g_free (disk->type);
  g_free (disk->source);
  g_free (disk->format);
  g_free (disk);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GuestDisk, guest_disk_free)

static void
guest_chain_free (void *data)
{
  GuestChain *chain = data;

  g_free (chain->target);
  g_ptr_array_unref (chain->images);
  g_free (chain);
}

void
guest_free (Guest *guest)
{
  if (!guest)
    return;
  g_free (guest->name);
  g_free (guest->uuid);
  g_ptr_array_unref (guest->disks);
  g_hash_table_unref (guest->left_out);
  g_ptr_array_unref (guest->chains);
  g_free (guest);
}

/* Both kinds of item begin with their target. */
static const void *
find_target (const GPtrArray *items, const char *target)
{
  for (guint i = 0; i < items->len; i++) {
    const char *const *item = g_ptr_array_index (items, i);
    if (strcmp (*item, target) == 0)
      return item;
  }
  return NULL;
}

const GuestChain *
guest_chain (const Guest *guest, const char *target)
{
  return find_target (guest->chains, target);
}

const GuestImage *
guest_chain_image (const GuestChain *chain, guint place)
{
  return g_ptr_array_index (chain->images, place);
}

const GuestDisk *
guest_disk (const Guest *guest, const char *target)
{
  return find_target (guest->disks, target);
}

/* The highest id is no id: setresuid takes it for "leave as it is". */
static bool
parse_id (const char *text, guint32 *id)
{
  guint64 value;

  if (!g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT32 - 1, &value, NULL))
    return false;
  *id = (guint32) value;
  return true;
}

static bool
find_user (const char *name, guint32 *id)
{
  g_autofree struct passwd *entry = g_unix_get_passwd_entry (name, NULL);

  if (entry)
    *id = entry->pw_uid;
  return entry != NULL;
}

static bool
find_group (const char *name, guint32 *id)
{
  for (gsize size = 4096; size <= MAX_ENTRY; size *= 4) {
    g_autofree char *buffer = g_malloc (size);
    struct group entry, *found = NULL;
    const int failure = getgrnam_r (name, &entry, buffer, size, &found);

    if (found)
      *id = found->gr_gid;
    if (failure != ERANGE)
      return found != NULL;
  }
  return false;
}

/* virGetUserID, virGetGroupID: "+" marks a number; without, a name goes
 * before a number. */
static bool
resolve (const char *text, bool (*find) (const char *name, guint32 *id),
         guint32 *id)
{
  if (*text == '+')
    return parse_id (text + 1, id);
  if (*text == '\0' || strlen (text) > MAX_USER_NAME)
    return false;
  return find (text, id) || parse_id (text, id);
}

static bool
parse_owner (const xmlNode *domain, Guest *guest, GError **error)
{
  const xmlNode *dac = NULL, *label = NULL;
  guint32 owner, group;

  for (const xmlNode *node = domain->children; node; node = node->next) {
    g_autofree char *model
      = xml_is_element (node, "seclabel") ? xml_attribute (node, "model")
      : NULL;
    if (g_strcmp0 (model, "dac") != 0)
      continue;
    if (dac)
      return error_set (error, EINVAL, "guest XML, line %ld: second <seclabel "
                        "model='dac'>; libvirt writes one",
                        xmlGetLineNo (node));
    dac = node;
  }
  if (dac && !xml_sole_child (&rules, dac, "label", &label, error))
    return false;
  if (!label)
    return true;
  g_autofree char *text = g_strstrip (xml_text (label));
  g_auto (GStrv) names = g_strsplit (text, ":", 2);
  guest->owner_known = g_strv_length (names) == 2
    && resolve (names[0], find_user, &owner)
    && resolve (names[1], find_group, &group);
  if (guest->owner_known) {
    guest->owner = owner;
    guest->group = group;
  }
  return true;
}

/* Is it a hard disk with a medium?  Fills type and source then.
 * (virStorageSourceIsEmpty: local storage is empty without a path.) */
static bool
holds_data (const xmlNode *node, GuestDisk *disk)
{
  static const char *const devices[] = { "disk", "lun", NULL };
  static const char *const images[] = { "file", "block", NULL };
  g_autofree char *device = xml_attribute (node, "device");
  g_autofree char *key = source_key (node);

  if (!key || !g_strv_contains (devices, device ? device : "disk"))
    return false;
  disk->type = xml_attribute (node, "type");
  if (!disk->type)
    disk->type = g_strdup ("file");
  if (g_strv_contains (images, disk->type))
    disk->source = g_steal_pointer (&key);
  return true;
}

/* NULL if a backup can cover it. */
static const char *
why_not_covered (const xmlNode *node, const GuestDisk *disk)
{
  static const char *const no_jobs[] = { "vhostuser", "vhostvdpa", NULL };

  return xml_child (node, "readonly") ? "it is read-only (<readonly/>)"
    : xml_child (node, "transient")
    ? "it is <transient/>, for which libvirt has no backups"
    : g_strv_contains (no_jobs, disk->type)
    ? "it is a vhost disk, for which QEMU has no backups" : NULL;
}

static bool
parse_disk (const xmlNode *node, Guest *guest, GError **error)
{
  g_autoptr (GuestDisk) disk = g_new0 (GuestDisk, 1);

  if (!holds_data (node, disk))
    return true;
  const char *why = why_not_covered (node, disk);
  disk->target = xml_attribute (xml_child (node, "target"), "dev");
  if (why && disk->target)
    g_hash_table_insert (guest->left_out, g_strdup (disk->target),
                         g_error_new_literal (CHECKPOINT_ERROR, ENOTSUP, why));
  if (why)
    return true;
  if (!disk->target || !disk_target_is_valid (disk->target))
    return error_set (error, EINVAL, "guest XML, line %ld: disk with target "
                      "'%.64s'; a letter, then letters, digits, - _ and . make "
                      "one", xmlGetLineNo (node),
                      disk->target ? disk->target : "");
  if (guest_disk (guest, disk->target))
    return error_set (error, EINVAL, "guest XML, line %ld: second disk with "
                      "target '%.64s'; libvirt writes each once",
                      xmlGetLineNo (node), disk->target);
  disk->format = xml_attribute (xml_child (node, "driver"), "type");
  g_ptr_array_add (guest->disks, g_steal_pointer (&disk));
  return true;
}

/* The chain ends in an empty <backingStore/>, or where it is not told. */
static void
parse_chain (const xmlNode *node, Guest *guest)
{
  g_autofree char *name = xml_attribute (xml_child (node, "target"), "dev");
  g_autoptr (GPtrArray) images
    = g_ptr_array_new_with_free_func ((GDestroyNotify) guest_image_free);
  const xmlNode *format = xml_child (node, "driver");
  GuestImage *image;

  while (node && (image = guest_image_new (node, format))) {
    g_ptr_array_add (images, image);
    node = xml_child (node, "backingStore");
    format = node ? xml_child (node, "format") : NULL;
  }
  if (!name || images->len == 0)
    return;
  GuestChain *chain = g_new0 (GuestChain, 1);
  chain->target = g_steal_pointer (&name);
  chain->images = g_steal_pointer (&images);
  chain->ends = node != NULL;
  g_ptr_array_add (guest->chains, chain);
}

static bool
parse_devices (const xmlNode *domain, Guest *guest, GError **error)
{
  guint count = 0;

  for (const xmlNode *devices = domain->children; devices;
       devices = devices->next) {
    if (!xml_is_element (devices, "devices"))
      continue;
    for (const xmlNode *node = devices->children; node; node = node->next) {
      if (!xml_is_element (node, "disk"))
        continue;
      if (++count > CHECKPOINT_MAX_DISKS)
        return error_set (error, EFBIG, "guest XML has more than %d disks; is "
                          "this the right document?", CHECKPOINT_MAX_DISKS);
      if (!parse_disk (node, guest, error))
        return false;
      parse_chain (node, guest);
    }
  }
  return true;
}

static bool
parse_word (const xmlNode *domain, const char *name, char **word,
            GError **error)
{
  const xmlNode *node;

  if (!xml_sole_child (&rules, domain, name, &node, error))
    return false;
  *word = node ? xml_text (node) : NULL;
  if (*word == NULL || **word == '\0')
    return error_set (error, EINVAL, "guest XML has no <%s>; is it from "
                      "virDomainGetXMLDesc?", name);
  return true;
}

Guest *
guest_parse (const char *text, gsize length, GError **error)
{
  const xmlNode *root;
  g_autoptr (xmlDoc) doc = xml_parse (text, length, &rules, &root, error);

  if (!doc)
    return NULL;
  g_autoptr (Guest) guest = g_new0 (Guest, 1);
  guest->disks = g_ptr_array_new_with_free_func (guest_disk_free);
  guest->left_out
    = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                             (GDestroyNotify) g_error_free);
  guest->chains = g_ptr_array_new_with_free_func (guest_chain_free);
  g_autofree char *id = xml_attribute (root, "id");
  guest->running = id != NULL;
  if (!parse_word (root, "name", &guest->name, error)
      || !parse_word (root, "uuid", &guest->uuid, error)
      || !parse_devices (root, guest, error)
      || !parse_owner (root, guest, error))
    return NULL;
  return g_steal_pointer (&guest);
}
