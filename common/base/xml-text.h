/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Reads libvirt's XML documents, which are untrusted, and writes text so that
 * it is read back as it was.
 */

#pragma once

#include <stdbool.h>

#include <glib.h>
#include <libxml/tree.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlDoc, xmlFreeDoc)

/* Elements and attributes that a tree may have; more are refused with EFBIG.
 * A document of 1 MiB cannot have as many, nor can any of libvirt's. */
#define XML_MAX_NODES (512 * 1024)
/* And those of one element. */
#define XML_MAX_ATTRIBUTES 1000

/* How a kind of document is read. */
typedef struct {
  const char *what;             /* "checkpoint XML": messages start with it */
  const char *kind;             /* "checkpoint" */
  const char *root;             /* "domaincheckpoint": what the root must be */
  gsize max_bytes;
  guint domain_depth;           /* if not 0: of a <domain> at this depth (the
                                 * root's is 1) only name, uuid, DAC labels
                                 * and disks are read, and there are no
                                 * comments in the tree */
  bool whole_disks;             /* of its disks everything is read, not only what
                                 * tells where they lie */
} XmlRules;

/* Parse length bytes of UTF-8, which need not end in NUL.  Nothing outside
 * text is ever read, nothing is printed.  Returns a new document (xmlFreeDoc)
 * with its root, or NULL with EFBIG (over max_bytes or one of those), ENOMEM,
 * or EINVAL: not well-formed, not UTF-8, with a DOCTYPE, with another root, or
 * nested too deeply (libxml2's own limit: 256 levels, 2048 from 2.13).  Any
 * thread. */
xmlDoc *xml_parse (const char *text, gsize length, const XmlRules *rules,
                   const xmlNode **root, GError **error);

/* Is node the element of that name, in no namespace? */
bool xml_is_element (const xmlNode *node, const char *name);

/* The first such child, or NULL.  Borrowed. */
const xmlNode *xml_child (const xmlNode *parent, const char *name);

/* Find the child that the schema allows at most once; NULL: there is none.
 * False with EINVAL if there are several: taking one would be a guess. */
bool xml_sole_child (const XmlRules *rules, const xmlNode *parent,
                     const char *name, const xmlNode **result,
                     GError **error);

/* The text directly in an element, a new string, perhaps empty. */
char *xml_text (const xmlNode *element);

/* A new string, or NULL if there is no such attribute, or no element. */
char *xml_attribute (const xmlNode *element, const char *name);

/* xs:unsignedLong as libvirt reads it: white space around it is fine. */
bool xml_unsigned (const char *text, guint64 *value);

/* Append text so that it is read back as it was.  What XML cannot hold (most
 * control characters, invalid UTF-8) becomes U+FFFD. */
void xml_append_escaped (GString *out, const char *text, bool in_attribute);

/* Append " name='value'"; nothing if value is NULL. */
void xml_append_attribute (GString *out, const char *name, const char *value);
