/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The only place where untrusted XML meets libxml2: from bytes to a document
 * tree, without network, other files, entities or output on stderr, and
 * without touching libxml2's process-wide settings, which the host program
 * (nbdkit, libvirt's client library) may use too.
 */

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <glib.h>
#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/tree.h>

#include "checkpoint.h"
#include "checkpoint-internal.h"
#include "error.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlParserCtxt, xmlFreeParserCtxt)

/* What the callbacks of one parse know. */
typedef struct {
  bool doctype;                 /* there is one: refused */
  bool prune;                   /* <domain> is not kept as it is */
  bool in_domain;
  guint depth;                  /* of the open element; the root's is 1 */
  guint left_out;               /* depth of the outermost one left out, or 0 */
} Parse;

/* Stop at the DOCTYPE, before the parser reads any of it: no document of
 * libvirt has one, and all entity attacks need one. */
static void
refuse_doctype (void *context, const xmlChar *name G_GNUC_UNUSED,
                const xmlChar *external_id G_GNUC_UNUSED,
                const xmlChar *system_id G_GNUC_UNUSED)
{
  xmlParserCtxt *parser = context;
  Parse *parse = parser->_private;

  parse->doctype = true;
  xmlStopParser (parser);
}

/* A guest's definition is nearly all of a document, and of it only the name,
 * the UUID and the disks are read.  What else it holds is still parsed, but no
 * tree is built of it, which is most of the work. */
static bool
is_needed (const Parse *parse, const xmlChar *name)
{
  static const char *const children[] = { "name", "uuid", "devices" };

  if (!parse->prune || !parse->in_domain)
    return true;
  if (parse->depth == 4)
    return strcmp ((const char *) name, "disk") == 0;
  for (guint i = 0; parse->depth == 3 && i < G_N_ELEMENTS (children); i++)
    if (strcmp ((const char *) name, children[i]) == 0)
      return true;
  return parse->depth != 3;
}

static void
start_element (void *context, const xmlChar *name, const xmlChar *prefix,
               const xmlChar *uri, int n_namespaces,
               const xmlChar **namespaces, int n_attributes, int n_defaulted,
               const xmlChar **attributes)
{
  Parse *parse = ((xmlParserCtxt *) context)->_private;

  parse->depth++;
  if (parse->depth == 2)
    parse->in_domain = strcmp ((const char *) name, "domain") == 0;
  if (parse->left_out == 0 && !is_needed (parse, name))
    parse->left_out = parse->depth;
  if (parse->left_out == 0)
    xmlSAX2StartElementNs (context, name, prefix, uri, n_namespaces,
                           namespaces, n_attributes, n_defaulted, attributes);
}

static void
end_element (void *context, const xmlChar *name, const xmlChar *prefix,
             const xmlChar *uri)
{
  Parse *parse = ((xmlParserCtxt *) context)->_private;

  if (parse->left_out == 0)
    xmlSAX2EndElementNs (context, name, prefix, uri);
  if (parse->left_out == parse->depth)
    parse->left_out = 0;
  parse->depth--;
}

/* Within <domain>, only its name and UUID are text. */
static void
characters (void *context, const xmlChar *text, int length)
{
  const Parse *parse = ((xmlParserCtxt *) context)->_private;

  if (parse->left_out == 0
      && (!parse->prune || !parse->in_domain || parse->depth == 3))
    xmlSAX2Characters (context, text, length);
}

static void
set_parser_error (xmlParserCtxt *parser, GError **error)
{
  const xmlError *reason = xmlCtxtGetLastError (parser);
  g_autofree char *message = NULL;

  if (reason != NULL && reason->code == XML_ERR_NO_MEMORY) {
    error_set (error, ENOMEM, "checkpoint XML: out of memory");
    return;
  }
  message = g_strdup (reason && reason->message ? reason->message
                      : "not well-formed");
  error_set (error, EINVAL, "checkpoint XML, line %d: %.200s; the file is "
             "damaged or no XML", reason ? reason->line : 0,
             g_strchomp (message));
}

/* The bytes must be UTF-8 without NUL, and the parser is told to take no notice
 * of a declared encoding.  What it guesses from the first bytes can then only
 * be UTF-8: its patterns for other encodings hold a NUL or are no UTF-8.  So
 * UTF-16, EBCDIC or UTF-7 cannot show it another text than the one that was
 * checked.  (Naming "UTF-8" would have it convert, at 15% of the time.)  There
 * is no XML_PARSE_HUGE, hence libxml2's limits on depth and length hold. */
xmlDoc *
checkpoint_parse_document (const char *text, gsize length, bool keep_domain,
                           GError **error)
{
  const int options = XML_PARSE_NONET | XML_PARSE_NOERROR |
    XML_PARSE_NOWARNING | XML_PARSE_NOCDATA | XML_PARSE_IGNORE_ENC |
    XML_PARSE_COMPACT;
  g_autoptr (xmlParserCtxt) parser = NULL;
  g_autoptr (xmlDoc) doc = NULL;
  Parse parse = { .prune = !keep_domain };

  if (length > CHECKPOINT_MAX_BYTES) {
    error_set (error, EFBIG, "checkpoint XML of %zu bytes: libvirt takes at "
               "most %d; is this the right file?", length,
               CHECKPOINT_MAX_BYTES);
    return NULL;
  }
  if (!g_utf8_validate_len (text, length, NULL)) {
    error_set (error, EINVAL, "checkpoint XML is not UTF-8 text; the file is "
               "damaged or no checkpoint");
    return NULL;
  }

  parser = xmlNewParserCtxt ();
  if (parser == NULL || parser->sax == NULL) {
    error_set (error, ENOMEM, "checkpoint XML: out of memory");
    return NULL;
  }
  parser->_private = &parse;
  parser->sax->internalSubset = refuse_doctype;
  parser->sax->startElementNs = start_element;
  parser->sax->endElementNs = end_element;
  parser->sax->characters = characters;
  parser->sax->ignorableWhitespace = characters;
  if (parse.prune) {
    parser->sax->comment = NULL;
    parser->sax->processingInstruction = NULL;
  }
  /* Not reached without a DOCTYPE; should the parser ever go on after an
   * earlier error, nothing is defined or fetched. */
  parser->sax->externalSubset = NULL;
  parser->sax->entityDecl = NULL;
  parser->sax->resolveEntity = NULL;

  doc = xmlCtxtReadMemory (parser, text, length, NULL, NULL, options);
  if (parse.doctype)
    error_set (error, EINVAL, "checkpoint XML has a <!DOCTYPE>, which libvirt "
               "never writes; refused, as it could make the parser read "
               "other files");
  else if (doc == NULL)         /* so without XML_PARSE_RECOVER */
    set_parser_error (parser, error);
  else
    return g_steal_pointer (&doc);
  return NULL;
}
