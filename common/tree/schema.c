/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/xml-text.h"
#include "tree/checkpoint.h"
#include "tree/schema.h"

static const XmlRules rules = {
  .what = "checkpoint XML", .kind = "checkpoint", .root = "domaincheckpoint",
  .max_bytes = CHECKPOINT_MAX_BYTES, .domain_depth = 2,
};

typedef bool (*Check) (const xmlNode *node, GError **error);

/* An element that may be in another, once unless it is said to repeat. */
typedef struct {
  const char *name;
  Check check;
  bool repeats;
} Part;

static bool
refuse (const xmlNode *node, GError **error, const char *what)
{
  return error_set (error, EINVAL, "checkpoint XML, line %ld: %s in <%s>, "
                    "where libvirt knows none", xmlGetLineNo (node), what,
                    (const char *) (node->parent ? node->parent->name
                                    : node->name));
}

static bool
is_blank (const xmlNode *node)
{
  return xmlIsBlankNode (node) || node->type == XML_COMMENT_NODE
    || node->type == XML_PI_NODE;
}

static const Part *
part_of (const Part *parts, const xmlNode *node)
{
  for (; parts->name; parts++)
    if (xml_is_element (node, parts->name))
      return parts;
  return NULL;
}

static bool
check_no_attributes (const xmlNode *node, GError **error)
{
  if (!node->properties)
    return true;
  return error_set (error, EINVAL, "checkpoint XML, line %ld: <%s> has an "
                    "attribute %s, and libvirt knows none of it",
                    xmlGetLineNo (node), (const char *) node->name,
                    (const char *) node->properties->name);
}

/* parts: up to one without a name. */
static bool
check_parts (const xmlNode *element, const Part *parts, GError **error)
{
  for (const xmlNode *node = element->children; node; node = node->next) {
    const Part *part = part_of (parts, node);
    if (is_blank (node))
      continue;
    if (!part) {
      g_autofree char *what = node->type == XML_ELEMENT_NODE
        ? g_strdup_printf ("<%s>", (const char *) node->name)
        : g_strdup ("text");
      return refuse (node, error, what);
    }
    for (const xmlNode *other = node->prev; other && !part->repeats;
         other = other->prev)
      if (xml_is_element (other, part->name))
        return error_set (error, EINVAL, "checkpoint XML, line %ld: a second "
                          "<%s>; remove one of them", xmlGetLineNo (node),
                          part->name);
    if (!part->check (node, error))
      return false;
  }
  return true;
}

static bool
check_text (const xmlNode *node, GError **error)
{
  static const Part none = { NULL, NULL, false };

  for (const xmlNode *child = node->children; child; child = child->next)
    if (child->type == XML_ELEMENT_NODE)
      return check_parts (node, &none, error);
  return check_no_attributes (node, error);
}

static bool
is_number (const char *text)
{
  guint64 value;

  return *text && text[strspn (text, "0123456789")] == '\0'
    && xml_unsigned (text, &value);
}

static bool
check_time (const xmlNode *node, GError **error)
{
  g_autofree char *text = xml_text (node);

  if (!is_number (text))
    return error_set (error, EINVAL, "checkpoint XML, line %ld: creationTime "
                      "'%.64s' is no number of seconds", xmlGetLineNo (node),
                      text);
  return check_text (node, error);
}

static bool
check_name (const xmlNode *node, GError **error)
{
  g_autofree char *text = xml_text (node);

  if (!checkpoint_name_valid (text))
    return error_set (error, EINVAL, "checkpoint XML, line %ld: '%.64s' cannot "
                      "be a checkpoint's name: letters, digits, _ - and . (not "
                      "first) are allowed", xmlGetLineNo (node), text);
  return check_text (node, error);
}

static bool
check_parent (const xmlNode *node, GError **error)
{
  static const Part parts[]
    = { { "name", check_name, false }, { NULL, NULL, false } };

  if (!xml_child (node, "name"))
    return error_set (error, EINVAL, "checkpoint XML, line %ld: <parent> has no "
                      "<name>", xmlGetLineNo (node));
  return check_no_attributes (node, error)
    && check_parts (node, parts, error);
}

static bool
check_attributes (const xmlNode *node, GError **error)
{
  static const char *const known[]
    = { "name", "checkpoint", "bitmap", "size", NULL };

  for (const xmlAttr *attribute = node->properties; attribute;
       attribute = attribute->next) {
    const char *name = (const char *) attribute->name;
    if (attribute->ns || !g_strv_contains (known, name))
      return error_set (error, EINVAL, "checkpoint XML, line %ld: <disk> has "
                        "an attribute %s, and libvirt knows name, checkpoint, "
                        "bitmap and size", xmlGetLineNo (node), name);
  }
  return true;
}

/* virDomainDiskByName takes a target or a path; what is neither, the schema
 * does not take.
 */
static bool
is_target (const char *name)
{
  static const char *const buses[]
    = { "fd", "hd", "sd", "vd", "xvd", "ubd", NULL };
  const char *text = g_str_has_prefix (name, "ioemu:") ? name + 6 : name;

  for (guint i = 0; buses[i]; i++) {
    const char *rest = text + strlen (buses[i]);
    if (g_str_has_prefix (text, buses[i]) && *rest
        && rest[strspn (rest, G_CSET_A_2_Z G_CSET_a_2_z "0123456789_")] == '\0')
      return true;
  }
  return false;
}

/* What checkpoint= and bitmap= may be, checkpoint_parse knows. */
static bool
check_disk (const xmlNode *node, GError **error)
{
  static const Part none = { NULL, NULL, false };
  g_autofree char *name = xml_attribute (node, "name");
  g_autofree char *size = xml_attribute (node, "size");

  if (!name || !(is_target (name) || (name[0] == '/' && name[1])))
    return error_set (error, EINVAL, "checkpoint XML, line %ld: '%.64s' "
                      "cannot be a disk's name: a target, such as vda, or an "
                      "absolute path is", xmlGetLineNo (node),
                      name ? name : "");
  if (size && !is_number (size))
    return error_set (error, EINVAL, "checkpoint XML, line %ld: size '%.64s' is "
                      "no number of bytes", xmlGetLineNo (node), size);
  return check_attributes (node, error) && check_parts (node, &none, error);
}

static bool
check_disks (const xmlNode *node, GError **error)
{
  static const Part parts[]
    = { { "disk", check_disk, true }, { NULL, NULL, false } };

  if (!xml_child (node, "disk"))
    return error_set (error, EINVAL, "checkpoint XML, line %ld: <disks> has no "
                      "<disk>; leave it out for all of them",
                      xmlGetLineNo (node));
  return check_no_attributes (node, error)
    && check_parts (node, parts, error);
}

static bool
check_nothing (const xmlNode *node G_GNUC_UNUSED, GError **error G_GNUC_UNUSED)
{
  return true;
}

bool
schema_check (const char *text, gsize length, GError **error)
{
  static const Part parts[] = {
    { "name", check_name, false }, { "description", check_text, false },
    { "creationTime", check_time, false }, { "disks", check_disks, false },
    { "parent", check_parent, false }, { "domain", check_nothing, false },
    { NULL, NULL, false },
  };
  const xmlNode *root;
  g_autoptr (xmlDoc) doc = xml_parse (text, length, &rules, &root, error);

  return doc && check_no_attributes (root, error)
    && check_parts (root, parts, error);
}
