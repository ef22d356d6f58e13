/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Read a <domaincheckpoint> document by libvirt's schema and the defaults of
 * its virDomainCheckpointAlignDisks, but leniently where a newer libvirt may
 * have more to say, and with no trust in the author of the text.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include <glib.h>
#include <libxml/tree.h>

#include "base/error.h"
#include "base/xml-text.h"
#include "tree/checkpoint.h"
#include "tree/source-key.h"

/* BDRV_BITMAP_MAX_NAME_SIZE in QEMU.  libvirt itself sets no limit, but the
 * bitmap has the checkpoint's name, so a longer one never recorded a byte. */
#define MAX_NAME 1023

static const XmlRules rules = {
  "checkpoint XML", "checkpoint", "domaincheckpoint", CHECKPOINT_MAX_BYTES, 2,
  false,
};

static void
domain_disk_free (void *data)
{
  DomainDisk *disk = data;

  g_ref_string_release (disk->target);
  g_clear_pointer (&disk->source, g_ref_string_release);
  g_free (disk);
}

static bool
sole_child (const xmlNode *parent, const char *name, const xmlNode **result,
            GError **error)
{
  return xml_sole_child (&rules, parent, name, result, error);
}

static void
parse_domain_disk (const xmlNode *node, GPtrArray *disks)
{
  const xmlNode *target_node = xml_child (node, "target");
  g_autofree char *target
    = target_node ? xml_attribute (target_node, "dev") : NULL;
  g_autofree char *device = xml_attribute (node, "device");
  g_autofree char *source = source_key (node);

  /* A leading slash would make it a path in <disks>; libvirt has no such. */
  if (!target || *target == '\0' || *target == '/')
    return;
  DomainDisk *disk = g_new0 (DomainDisk, 1);
  disk->target = g_ref_string_new_intern (target);
  g_ptr_array_add (disks, disk);
  /* Interned strings are equal only if they are the same. */
  for (guint i = 0; i + 1 < disks->len; i++) {
    const DomainDisk *other = g_ptr_array_index (disks, i);
    if (other->target == disk->target) {
      g_ptr_array_set_size (disks, disks->len - 1);
      return;
    }
  }
  disk->source = source ? g_ref_string_new_intern (source) : NULL;
  /* A floppy disk is writable for libvirt (virDomainDiskDefPostParse). */
  disk->read_only = xml_child (node, "readonly") != NULL
    || g_strcmp0 (device, "cdrom") == 0;
}

static GRefString *
interned_text (const xmlNode *parent, const char *name)
{
  const xmlNode *node = xml_child (parent, name);
  g_autofree char *text = node ? xml_text (node) : NULL;

  return text && *text ? g_ref_string_new_intern (text) : NULL;
}

static bool
parse_domain (const xmlNode *root, Checkpoint *checkpoint, GError **error)
{
  const xmlNode *domain;

  if (!sole_child (root, "domain", &domain, error))
    return false;
  if (!domain)
    return true;

  checkpoint->domain_name = interned_text (domain, "name");
  checkpoint->domain_uuid = interned_text (domain, "uuid");
  checkpoint->domain_disks =
    g_ptr_array_new_with_free_func (domain_disk_free);
  for (const xmlNode *devices = domain->children; devices;
       devices = devices->next) {
    if (!xml_is_element (devices, "devices"))
      continue;
    for (const xmlNode *disk = devices->children; disk; disk = disk->next) {
      if (!xml_is_element (disk, "disk"))
        continue;
      if (checkpoint->domain_disks->len >= CHECKPOINT_MAX_DISKS)
        return error_set (error, EFBIG, "checkpoint '%s': its <domain> has "
                          "more than %d disks", checkpoint->name,
                          CHECKPOINT_MAX_DISKS);
      parse_domain_disk (disk, checkpoint->domain_disks);
    }
  }
  return true;
}

/* Replace an absolute path in a disk's name by the target, as
 * virDomainDiskByName does; if no disk or several have that source, which is
 * the one cannot be known, and the path stays. */
static void
normalise_name (const Checkpoint *checkpoint, CheckpointDisk *disk)
{
  const DomainDisk *found = NULL;

  if (*disk->name != '/' || !checkpoint->domain_disks)
    return;
  for (guint i = 0; i < checkpoint->domain_disks->len; i++) {
    const DomainDisk *other = g_ptr_array_index (checkpoint->domain_disks, i);
    if (other->source != disk->name)
      continue;
    if (found)
      return;
    found = other;
  }
  if (found) {
    g_ref_string_release (disk->name);
    disk->name = g_ref_string_acquire (found->target);
  }
}

/* The bitmap that a <disk> asks for: NULL if none, after checks. */
static bool
parse_disk_bitmap (const xmlNode *node, const Checkpoint *checkpoint,
                   const char *name, char **bitmap, GError **error)
{
  g_autofree char *mode = xml_attribute (node, "checkpoint");
  g_autofree char *given = xml_attribute (node, "bitmap");
  g_autofree char *size = xml_attribute (node, "size");

  *bitmap = NULL;
  if (g_strcmp0 (mode, "no") == 0) {
    if (given || size)
      return error_set (error, EINVAL, "checkpoint '%s': disk '%.64s' has "
                        "checkpoint='no' and yet a %s; remove one of them",
                        checkpoint->name, name, given ? "bitmap" : "size");
    return true;
  }
  if (mode && strcmp (mode, "bitmap") != 0)
    return error_set (error, EINVAL, "checkpoint '%s': disk '%.64s' has "
                      "checkpoint='%.64s'; only 'no' and 'bitmap' are known",
                      checkpoint->name, name, mode);
  if (given && (*given == '\0' || strlen (given) > MAX_NAME))
    return error_set (error, EINVAL, "checkpoint '%s': the bitmap name of "
                      "disk '%.64s' is not 1 to %d bytes long, as QEMU needs",
                      checkpoint->name, name, MAX_NAME);
  *bitmap = given ? g_steal_pointer (&given) : g_strdup (checkpoint->name);
  return true;
}

static bool
parse_disk (const xmlNode *node, Checkpoint *checkpoint, GError **error)
{
  g_autofree char *name = xml_attribute (node, "name");
  g_autofree char *size = xml_attribute (node, "size");
  g_autofree char *bitmap = NULL;
  CheckpointDisk *disk;

  if (!name || *name == '\0')
    return error_set (error, EINVAL, "checkpoint '%s', line %ld: <disk> "
                      "without a name", checkpoint->name,
                      xmlGetLineNo (node));
  if (checkpoint->disks->len >= CHECKPOINT_MAX_DISKS)
    return error_set (error, EFBIG, "checkpoint '%s' lists more than %d "
                      "disks", checkpoint->name, CHECKPOINT_MAX_DISKS);
  if (!parse_disk_bitmap (node, checkpoint, name, &bitmap, error))
    return false;

  disk = checkpoint_add_disk (checkpoint, name, bitmap);
  normalise_name (checkpoint, disk);
  for (guint i = 0; i + 1 < checkpoint->disks->len; i++) {
    const CheckpointDisk *other = g_ptr_array_index (checkpoint->disks, i);
    if (other->name == disk->name)
      return error_set (error, EINVAL, "checkpoint '%s': disk '%.64s' is "
                        "listed twice; remove one of them", checkpoint->name,
                        disk->name);
  }
  disk->has_size = size != NULL;
  if (size && !xml_unsigned (size, &disk->size))
    return error_set (error, EINVAL, "checkpoint '%s': disk '%.64s' has "
                      "size='%.64s', which is no number of bytes",
                      checkpoint->name, disk->name, size);
  return true;
}

/* Needs the domain parsed.  An empty <disks/> counts as none, for libvirt
 * looks only at the number of disks in it. */
static bool
parse_disks (const xmlNode *root, Checkpoint *checkpoint, GError **error)
{
  const GPtrArray *known = checkpoint->domain_disks;
  const xmlNode *disks;

  if (!sole_child (root, "disks", &disks, error))
    return false;
  if (disks)
    for (const xmlNode *node = disks->children; node; node = node->next)
      if (xml_is_element (node, "disk")
          && !parse_disk (node, checkpoint, error))
        return false;

  if (checkpoint->disks->len > 0)
    return true;
  /* A disk without a medium (virStorageSourceIsEmpty) has no bitmap. */
  for (guint i = 0; known && i < known->len; i++) {
    const DomainDisk *disk = g_ptr_array_index (known, i);
    checkpoint_add_disk (checkpoint, disk->target,
                         disk->read_only || !disk->source ? NULL
                         : checkpoint->name);
  }
  checkpoint->covers_any_disk = checkpoint->disks->len == 0;
  return true;
}

/* Read a checkpoint's name from <name> in parent. */
static bool
parse_name (const xmlNode *parent, const char *whose, char **name,
            GError **error)
{
  const xmlNode *node;

  if (!sole_child (parent, "name", &node, error))
    return false;
  if (!node)
    return error_set (error, EINVAL, "checkpoint XML, line %ld: <%s> has no "
                      "<name>; a stored checkpoint must have one",
                      xmlGetLineNo (parent), (const char *) parent->name);
  *name = xml_text (node);
  if (!checkpoint_name_valid (*name) || strlen (*name) > MAX_NAME)
    return error_set (error, EINVAL, "checkpoint XML, line %ld: '%.64s' cannot "
                      "be the name of a %s: 1 to %d letters, digits, _ - and . "
                      "(not first) are allowed", xmlGetLineNo (node), *name,
                      whose, MAX_NAME);
  return true;
}

static bool
parse_description (const xmlNode *root, Checkpoint *checkpoint,
                   GError **error)
{
  const xmlNode *description;

  if (!sole_child (root, "description", &description, error))
    return false;
  /* virXPathString: an empty string is none. */
  if (description) {
    checkpoint->description = xml_text (description);
    if (*checkpoint->description == '\0')
      g_clear_pointer (&checkpoint->description, g_free);
  }
  return true;
}

static bool
parse_moment (const xmlNode *root, Checkpoint *checkpoint, GError **error)
{
  const xmlNode *parent, *created;
  g_autofree char *text = NULL;
  g_autofree char *parent_name = NULL;

  if (!sole_child (root, "parent", &parent, error)
      || !sole_child (root, "creationTime", &created, error))
    return false;
  if (parent) {
    if (!parse_name (parent, "parent", &parent_name, error))
      return false;
    checkpoint_set_parent_name (checkpoint, parent_name);
  }
  checkpoint->has_creation_time = created != NULL;
  if (!created)
    return true;
  text = xml_text (created);
  if (!xml_unsigned (text, &checkpoint->creation_time))
    return error_set (error, EINVAL, "checkpoint '%s': creationTime '%.64s' "
                      "is no number of seconds", checkpoint->name, text);
  return true;
}

Checkpoint *
checkpoint_parse (const char *text, gsize length, CheckpointParseFlags flags,
                  GError **error)
{
  g_autoptr (Checkpoint) checkpoint = NULL;
  XmlRules asked = rules;
  if (flags & CHECKPOINT_PARSE_WHOLE_DOMAIN)
    asked.domain_depth = 0;
  const xmlNode *root;
  g_autoptr (xmlDoc) doc = xml_parse (text, length, &asked, &root, error);
  g_autofree char *name = NULL;

  if (!doc)
    return NULL;
  const bool to_create = flags & CHECKPOINT_PARSE_TO_CREATE;
  if (!(to_create && !xml_child (root, "name"))
      && !parse_name (root, "checkpoint", &name, error))
    return NULL;
  checkpoint = to_create ? checkpoint_new_now (name) : checkpoint_new (name);
  if (!parse_description (root, checkpoint, error))
    return NULL;
  if (!to_create && (!parse_moment (root, checkpoint, error)
                     || !parse_domain (root, checkpoint, error)))
    return NULL;
  if (!parse_disks (root, checkpoint, error))
    return NULL;
  return g_steal_pointer (&checkpoint);
}

static void
fill_size (xmlNode *node, const CheckpointDisk *disk)
{
  char digits[21];

  xmlUnsetProp (node, (const xmlChar *) "size");
  if (!disk->has_size)
    return;
  g_snprintf (digits, sizeof digits, "%" G_GUINT64_FORMAT, disk->size);
  xmlSetProp (node, (const xmlChar *) "size", (const xmlChar *) digits);
}

/* The disks stand in the order of the elements that they were read from. */
char *
checkpoint_fill_sizes (const Checkpoint *checkpoint, const char *text,
                       gsize length, GError **error)
{
  XmlRules all = rules;
  all.domain_depth = 0;
  const xmlNode *root;
  g_autoptr (xmlDoc) doc = xml_parse (text, length, &all, &root, error);
  const xmlNode *disks = doc ? xml_child (root, "disks") : NULL;
  guint place = 0;

  if (!doc)
    return NULL;
  for (xmlNode *node = disks ? disks->children : NULL; node; node = node->next)
    if (xml_is_element (node, "disk") && place < checkpoint->disks->len)
      fill_size (node, g_ptr_array_index (checkpoint->disks, place++));
  xmlBuffer *buffer = xmlBufferCreate ();
  xmlNodeDump (buffer, doc, (xmlNode *) root, 0, 0);
  char *filled = g_strconcat ((const char *) xmlBufferContent (buffer), "\n",
                              NULL);
  xmlBufferFree (buffer);
  return filled;
}
