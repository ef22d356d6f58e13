/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Checkpoints without reading XML: making them, asking them, and writing them
 * in libvirt's layout (virDomainCheckpointDefFormat, virBufferEscapeString),
 * byte for byte the same each time.
 */

#include <config.h>

#include <string.h>

#include <glib.h>
#include <libxml/tree.h>

#include "base/xml-text.h"
#include "tree/checkpoint-internal.h"
#include "tree/checkpoint.h"

static void
disk_free (void *data)
{
  CheckpointDisk *disk = data;

  g_ref_string_release (disk->name);
  g_clear_pointer (&disk->bitmap, g_ref_string_release);
  g_free (disk);
}

void
checkpoint_domain_disk_free (void *data)
{
  DomainDisk *disk = data;

  g_ref_string_release (disk->target);
  g_clear_pointer (&disk->source, g_ref_string_release);
  g_free (disk);
}

Checkpoint *
checkpoint_new (const char *name)
{
  Checkpoint *checkpoint = g_new0 (Checkpoint, 1);

  checkpoint->name = g_ref_string_new_intern (name);
  checkpoint->disks = g_ptr_array_new_with_free_func (disk_free);
  return checkpoint;
}

void
checkpoint_free (Checkpoint *checkpoint)
{
  if (!checkpoint)
    return;
  g_ref_string_release (checkpoint->name);
  g_free (checkpoint->description);
  g_clear_pointer (&checkpoint->parent_name, g_ref_string_release);
  g_ptr_array_unref (checkpoint->disks);
  g_clear_pointer (&checkpoint->domain_name, g_ref_string_release);
  g_clear_pointer (&checkpoint->domain_uuid, g_ref_string_release);
  g_clear_pointer (&checkpoint->domain_disks, g_ptr_array_unref);
  g_free (checkpoint->domain_xml);
  g_free (checkpoint);
}

CheckpointDisk *
checkpoint_add_disk (Checkpoint *checkpoint, const char *name,
                     const char *bitmap)
{
  CheckpointDisk *disk = g_new0 (CheckpointDisk, 1);

  disk->name = g_ref_string_new_intern (name);
  disk->covered = bitmap != NULL;
  if (bitmap)
    disk->bitmap = g_ref_string_new_intern (bitmap);
  g_ptr_array_add (checkpoint->disks, disk);
  return disk;
}

void
checkpoint_cover (Checkpoint *checkpoint, const char *target,
                  const char *bitmap)
{
  CheckpointDisk *disk = (CheckpointDisk *) checkpoint_disk (checkpoint,
                                                             target);

  checkpoint->disks_listed = true;
  checkpoint->covers_any_disk = false;
  if (!disk) {
    checkpoint_add_disk (checkpoint, target, bitmap);
    return;
  }
  g_clear_pointer (&disk->bitmap, g_ref_string_release);
  disk->bitmap = g_ref_string_new_intern (bitmap);
  disk->covered = true;
  disk->has_size = false;
  disk->size = 0;
}

void
checkpoint_set_parent_name (Checkpoint *checkpoint, const char *name)
{
  GRefString *copy = name ? g_ref_string_new_intern (name) : NULL;

  g_clear_pointer (&checkpoint->parent_name, g_ref_string_release);
  checkpoint->parent_name = copy;
}

const CheckpointDisk *
checkpoint_disk (const Checkpoint *checkpoint, const char *target)
{
  for (guint i = 0; i < checkpoint->disks->len; i++) {
    const CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, i);
    if (strcmp (disk->name, target) == 0)
      return disk;
  }
  return NULL;
}

const char *
checkpoint_bitmap (const Checkpoint *checkpoint, const char *target)
{
  const CheckpointDisk *disk;

  if (checkpoint->covers_any_disk)
    return checkpoint->name;
  disk = checkpoint_disk (checkpoint, target);
  return disk ? disk->bitmap : NULL;
}

bool
checkpoint_name_valid (const char *name)
{
  if (*name == '\0' || *name == '.')
    return false;
  for (; *name != '\0'; name++)
    if (!g_ascii_isalnum (*name) && strchr ("_-.", *name) == NULL)
      return false;
  return true;
}

bool
disk_target_is_valid (const char *target)
{
  if (!g_ascii_isalpha (target[0]))
    return false;
  for (const char *p = target; *p; p++)
    if (!g_ascii_isalnum (*p) && !strchr ("-_.", *p))
      return false;
  return true;
}

static void
append_attribute (GString *out, const char *prefix, const char *name,
                  const char *value)
{
  g_string_append_printf (out, " %s%s%s='", prefix ? prefix : "",
                          prefix ? ":" : "", name);
  xml_append_escaped (out, value, true);
  g_string_append_c (out, '\'');
}

static void
append_text_element (GString *out, guint indent, const char *name,
                     const char *text)
{
  if (!text)
    return;
  g_string_append_printf (out, "%*s<%s>", (int) indent, "", name);
  xml_append_escaped (out, text, false);
  g_string_append_printf (out, "</%s>\n", name);
}

/* XPath's in-scope namespaces, as far as the root element declares them: the
 * parts of <domain> may use them. */
static void
append_outer_namespaces (GString *out, const xmlNode *element)
{
  if (!element->parent || element->parent->type != XML_ELEMENT_NODE)
    return;
  for (const xmlNs *outer = element->parent->nsDef; outer;
       outer = outer->next) {
    bool hidden = !outer->prefix || !outer->href;

    for (const xmlNs *ns = element->nsDef; ns && !hidden; ns = ns->next)
      hidden = xmlStrEqual (ns->prefix, outer->prefix);
    if (!hidden)
      append_attribute (out, "xmlns", (const char *) outer->prefix,
                        (const char *) outer->href);
  }
}

static void
append_name (GString *out, const xmlNs *ns, const xmlChar *name)
{
  if (ns && ns->prefix)
    g_string_append_printf (out, "%s:", (const char *) ns->prefix);
  g_string_append (out, (const char *) name);
}

static void
append_start_tag (GString *out, const xmlNode *node, bool outermost)
{
  g_string_append_c (out, '<');
  append_name (out, node->ns, node->name);
  for (const xmlNs *ns = node->nsDef; ns; ns = ns->next)
    append_attribute (out, ns->prefix ? "xmlns" : NULL,
                      ns->prefix ? (const char *) ns->prefix : "xmlns",
                      ns->href ? (const char *) ns->href : "");
  if (outermost)
    append_outer_namespaces (out, node);
  for (xmlAttr *attr = node->properties; attr; attr = attr->next) {
    xmlChar *value = xmlNodeListGetString (node->doc, attr->children, 1);

    append_attribute (out,
                      attr->ns ? (const char *) attr->ns->prefix : NULL,
                      (const char *) attr->name,
                      value ? (const char *) value : "");
    xmlFree (value);
  }
  g_string_append_c (out, '>');
}

static void
append_leaf (GString *out, const xmlNode *node)
{
  const char *content = node->content ? (const char *) node->content : "";

  switch (node->type) {
  case XML_TEXT_NODE:
  case XML_CDATA_SECTION_NODE:
    xml_append_escaped (out, content, false);
    break;
  case XML_COMMENT_NODE:
    g_string_append_printf (out, "<!--%s-->", content);
    break;
  case XML_PI_NODE:
    g_string_append_printf (out, "<?%s%s%s?>", (const char *) node->name,
                            *content ? " " : "", content);
    break;
  default:                      /* no others without a DOCTYPE */
    break;
  }
}

/* Recursion is as deep as the parser let elements nest: see xml_parse. */
static void
append_node (GString *out, const xmlNode *node, bool outermost)
{
  if (node->type != XML_ELEMENT_NODE) {
    append_leaf (out, node);
    return;
  }
  append_start_tag (out, node, outermost);
  const gsize after_start_tag = out->len;
  for (const xmlNode *child = node->children; child; child = child->next)
    append_node (out, child, false);
  /* Nothing was written for what it contains (an empty CDATA section): it must
   * look like the empty element it will be read as. */
  if (out->len == after_start_tag) {
    g_string_truncate (out, out->len - 1);
    g_string_append (out, "/>");
    return;
  }
  g_string_append (out, "</");
  append_name (out, node->ns, node->name);
  g_string_append_c (out, '>');
}

char *
checkpoint_format_element (const xmlNode *element)
{
  GString *out = g_string_new (NULL);

  append_node (out, element, true);
  return g_string_free (out, FALSE);
}

static void
append_disks (GString *out, const Checkpoint *checkpoint)
{
  g_string_append (out, "  <disks>\n");
  for (guint i = 0; i < checkpoint->disks->len; i++) {
    const CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, i);

    g_string_append (out, "    <disk");
    xml_append_attribute (out, "name", disk->name);
    xml_append_attribute (out, "checkpoint", disk->covered ? "bitmap" : "no");
    if (disk->covered)
      xml_append_attribute (out, "bitmap", disk->bitmap);
    if (disk->covered && disk->has_size)
      g_string_append_printf (out, " size='%" G_GUINT64_FORMAT "'",
                              disk->size);
    g_string_append (out, "/>\n");
  }
  g_string_append (out, "  </disks>\n");
}

char *
checkpoint_format (const Checkpoint *checkpoint, CheckpointFormatFlags flags)
{
  const bool with_domain = checkpoint->domain_xml != NULL
    && !(flags & CHECKPOINT_FORMAT_NO_DOMAIN);
  GString *out = g_string_new ("<domaincheckpoint>\n");

  append_text_element (out, 2, "name", checkpoint->name);
  append_text_element (out, 2, "description", checkpoint->description);
  if (checkpoint->parent_name) {
    g_string_append (out, "  <parent>\n");
    append_text_element (out, 4, "name", checkpoint->parent_name);
    g_string_append (out, "  </parent>\n");
  }
  if (checkpoint->has_creation_time)
    g_string_append_printf (out, "  <creationTime>%" G_GUINT64_FORMAT
                            "</creationTime>\n", checkpoint->creation_time);
  if (checkpoint->disks->len > 0
      && (checkpoint->disks_listed || !with_domain))
    append_disks (out, checkpoint);
  if (with_domain)
    g_string_append_printf (out, "  %s\n", checkpoint->domain_xml);
  g_string_append (out, "</domaincheckpoint>\n");
  return g_string_free (out, FALSE);
}
