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

#include <glib.h>
#include <libxml/parser.h>
#include <libxml/tree.h>

#include "checkpoint.h"
#include "checkpoint-internal.h"
#include "error.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlParserCtxt, xmlFreeParserCtxt)

/* Stop at the DOCTYPE, before the parser reads any of it: no document of
 * libvirt has one, and all entity attacks need one. */
static void
refuse_doctype (void *context, const xmlChar *name G_GNUC_UNUSED,
                const xmlChar *external_id G_GNUC_UNUSED,
                const xmlChar *system_id G_GNUC_UNUSED)
{
  xmlParserCtxt *parser = context;
  bool *seen = parser->_private;

  *seen = true;
  xmlStopParser (parser);
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
checkpoint_parse_document (const char *text, gsize length, GError **error)
{
  const int options = XML_PARSE_NONET | XML_PARSE_NOERROR |
    XML_PARSE_NOWARNING | XML_PARSE_NOCDATA | XML_PARSE_IGNORE_ENC |
    XML_PARSE_COMPACT;
  g_autoptr (xmlParserCtxt) parser = NULL;
  g_autoptr (xmlDoc) doc = NULL;
  bool doctype = false;

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
  parser->_private = &doctype;
  parser->sax->internalSubset = refuse_doctype;
  /* Not reached without a DOCTYPE; should the parser ever go on after an
   * earlier error, nothing is defined or fetched. */
  parser->sax->externalSubset = NULL;
  parser->sax->entityDecl = NULL;
  parser->sax->resolveEntity = NULL;

  doc = xmlCtxtReadMemory (parser, text, length, NULL, NULL, options);
  if (doctype)
    error_set (error, EINVAL, "checkpoint XML has a <!DOCTYPE>, which libvirt "
               "never writes; refused, as it could make the parser read "
               "other files");
  else if (doc == NULL)         /* so without XML_PARSE_RECOVER */
    set_parser_error (parser, error);
  else
    return g_steal_pointer (&doc);
  return NULL;
}
