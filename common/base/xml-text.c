/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Parses untrusted XML, and is the only place that does: without network, other
 * files, entities or output on stderr, and without touching libxml2's
 * process-wide settings, which nbdkit or libvirt's client library may use too.
 */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <glib.h>
#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/tree.h>

#include "base/error.h"
#include "base/xml-text.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlParserCtxt, xmlFreeParserCtxt)

/* What the callbacks of one parse know. */
typedef struct {
  guint domain_depth;           /* as in XmlRules */
  bool whole_disks;             /* as there */
  bool doctype;                 /* there is one: refused */
  bool in_domain;
  bool in_label;                /* the open child of a child of <domain> */
  guint depth;                  /* of the open element; the root's is 1 */
  guint left_out;               /* depth of the outermost one left out, or 0 */
  guint nodes;                  /* in the tree, without texts */
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

/* A guest's definition is nearly all of a document, and little of it is read.
 * The rest is parsed, but no tree is built of it, which is most of the work.
 */
static bool
is_needed (const Parse *parse, const char *name)
{
  static const char *const parts[] = { "name", "uuid", "devices", "seclabel",
    NULL };
  static const char *const devices[] = { "disk", "label", NULL };
  static const char *const disk[] = { "driver", "source", "target", "readonly",
    "transient", "backingStore", NULL };
  static const char *const layer[] = { "source", "backingStore", "format",
    "host", "snapshot", "address", NULL };
  static const char *const *const levels[] = { parts, devices, disk };
  guint level;

  if (parse->domain_depth == 0 || !parse->in_domain
      || parse->depth <= parse->domain_depth)
    return true;
  level = parse->depth - parse->domain_depth - 1;
  if (level >= 2 && parse->whole_disks)
    return true;
  return g_strv_contains (level < G_N_ELEMENTS (levels)
                          ? levels[level] : layer, name);
}

static void
start_element (void *context, const xmlChar *name, const xmlChar *prefix,
               const xmlChar *uri, int n_namespaces,
               const xmlChar **namespaces, int n_attributes, int n_defaulted,
               const xmlChar **attributes)
{
  Parse *parse = ((xmlParserCtxt *) context)->_private;

  parse->depth++;
  if (parse->depth == parse->domain_depth)
    parse->in_domain = strcmp ((const char *) name, "domain") == 0;
  if (parse->depth == parse->domain_depth + 2)
    parse->in_label = strcmp ((const char *) name, "label") == 0;
  if (parse->left_out == 0 && !is_needed (parse, (const char *) name))
    parse->left_out = parse->depth;
  if (parse->left_out != 0)
    return;
  parse->nodes += 1 + (guint) n_attributes + (guint) n_namespaces;
  if (parse->nodes > XML_MAX_NODES)
    xmlStopParser (context);
  else
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

/* Within <domain>, only its name, its UUID and the labels are text. */
static void
characters (void *context, const xmlChar *text, int length)
{
  const Parse *parse = ((xmlParserCtxt *) context)->_private;

  if (parse->left_out == 0
      && (parse->domain_depth == 0 || !parse->in_domain
          || parse->depth == parse->domain_depth + 1
          || (parse->depth == parse->domain_depth + 2 && parse->in_label)))
    xmlSAX2Characters (context, text, length);
}

static void
set_parser_error (xmlParserCtxt *parser, const char *what, GError **error)
{
  const xmlError *reason = xmlCtxtGetLastError (parser);
  g_autofree char *message = g_strdup (reason && reason->message
                                       ? reason->message : "not well-formed");

  if (reason && reason->code == XML_ERR_NO_MEMORY)
    error_set (error, ENOMEM, "%s: out of memory", what);
  else
    error_set (error, EINVAL, "%s, line %d: %.200s; it is damaged or no XML",
               what, reason ? reason->line : 0, g_strchomp (message));
}

/* The parser with our callbacks, or NULL when memory is out. */
static xmlParserCtxt *
new_parser (Parse *parse)
{
  g_autoptr (xmlParserCtxt) parser = xmlNewParserCtxt ();

  if (!parser || !parser->sax)
    return NULL;
  parser->_private = parse;
  parser->sax->internalSubset = refuse_doctype;
  parser->sax->startElementNs = start_element;
  parser->sax->endElementNs = end_element;
  parser->sax->characters = characters;
  parser->sax->ignorableWhitespace = characters;
  if (parse->domain_depth != 0) {
    parser->sax->comment = NULL;
    parser->sax->processingInstruction = NULL;
  }
  /* Not reached without a DOCTYPE; should the parser ever go on after an
   * earlier error, nothing is defined or fetched. */
  parser->sax->externalSubset = NULL;
  parser->sax->entityDecl = NULL;
  parser->sax->resolveEntity = NULL;
  return g_steal_pointer (&parser);
}

static bool
check_root (xmlDoc *doc, const XmlRules *rules, const xmlNode **root,
            GError **error)
{
  *root = xmlDocGetRootElement (doc);
  return (*root && xml_is_element (*root, rules->root))
    || error_set (error, EINVAL, "this is no %s: the document is a <%.64s>%s, "
                  "not a <%s>", rules->kind,
                  *root ? (const char *) (*root)->name : "",
                  *root && (*root)->ns ? " in a namespace" : "", rules->root);
}

/* libxml2 before 2.12 compares each attribute with all others of its element:
 * 50,000 took 45 s.  *at is in the text; it is moved behind the tag.
 */
static bool
has_few_attributes (const char **at, const char *end)
{
  guint count = 0;
  char quote = '\0';

  for (; *at < end && (quote || **at != '>'); (*at)++)
    if (quote ? **at == quote : **at == '"' || **at == '\'') {
      count += quote == '\0';
      quote = quote ? '\0' : **at;
    }
  return count <= XML_MAX_ATTRIBUTES;
}

static bool
check_attributes (const char *text, gsize length)
{
  static const char *const others[][2]
    = { { "<!--", "-->" }, { "<![CDATA[", "]]>" }, { "<?", "?>" } };
  const char *end = text + length, *at = text;

  while (at < end && (at = memchr (at, '<', end - at))) {
    bool is_tag = true;
    for (guint i = 0; i < G_N_ELEMENTS (others); i++)
      if ((gsize) (end - at) >= strlen (others[i][0])
          && memcmp (at, others[i][0], strlen (others[i][0])) == 0) {
        const char *stop = g_strstr_len (at, end - at, others[i][1]);
        at = stop ? stop : end;
        is_tag = false;
        break;
      }
    if (is_tag && !has_few_attributes (&at, end))
      return false;
  }
  return true;
}

/* The bytes must be UTF-8 without NUL, and the parser ignores a declared
 * encoding.  It can then only guess UTF-8 from the first bytes: its patterns
 * for other encodings hold a NUL or are no UTF-8.  So UTF-16, EBCDIC or UTF-7
 * cannot show it another text than was checked.  (Naming "UTF-8" would have it
 * convert, at 15% of the time.)  Without XML_PARSE_HUGE, libxml2's own limits
 * hold. */
xmlDoc *
xml_parse (const char *text, gsize length, const XmlRules *rules,
           const xmlNode **root, GError **error)
{
  const int options = XML_PARSE_NONET | XML_PARSE_NOERROR |
    XML_PARSE_NOWARNING | XML_PARSE_NOCDATA | XML_PARSE_IGNORE_ENC |
    XML_PARSE_COMPACT;
  Parse parse = {
    .domain_depth = rules->domain_depth, .whole_disks = rules->whole_disks,
  };

  if (length > rules->max_bytes)
    return error_null (error, EFBIG, "%s of %zu bytes: libvirt takes or makes "
                       "at most %zu; is this the right document?", rules->what,
                       length, rules->max_bytes);
  if (!g_utf8_validate_len (text, length, NULL))
    return error_null (error, EINVAL, "%s is not UTF-8 text; it is damaged or "
                       "no XML", rules->what);
  if (!check_attributes (text, length))
    return error_null (error, EFBIG, "%s has an element of more than %d "
                       "attributes; is this the right document?", rules->what,
                       XML_MAX_ATTRIBUTES);
  g_autoptr (xmlParserCtxt) parser = new_parser (&parse);
  if (!parser)
    return error_null (error, ENOMEM, "%s: out of memory", rules->what);

  g_autoptr (xmlDoc) doc
    = xmlCtxtReadMemory (parser, text, length, NULL, NULL, options);
  if (parse.doctype)
    error_set (error, EINVAL, "%s has a <!DOCTYPE>, which libvirt never "
               "writes; refused, as it could make the parser read other files",
               rules->what);
  else if (parse.nodes > XML_MAX_NODES)
    error_set (error, EFBIG, "%s has more than %d elements and attributes; is "
               "this the right document?", rules->what, XML_MAX_NODES);
  else if (!doc)                /* so without XML_PARSE_RECOVER */
    set_parser_error (parser, rules->what, error);
  else if (check_root (doc, rules, root, error))
    return g_steal_pointer (&doc);
  return NULL;
}

bool
xml_is_element (const xmlNode *node, const char *name)
{
  return node->type == XML_ELEMENT_NODE && !node->ns
    && strcmp ((const char *) node->name, name) == 0;
}

const xmlNode *
xml_child (const xmlNode *parent, const char *name)
{
  for (const xmlNode *node = parent->children; node; node = node->next)
    if (xml_is_element (node, name))
      return node;
  return NULL;
}

bool
xml_sole_child (const XmlRules *rules, const xmlNode *parent,
                const char *name, const xmlNode **result, GError **error)
{
  *result = xml_child (parent, name);
  if (*result == NULL)
    return true;
  for (const xmlNode *node = (*result)->next; node; node = node->next)
    if (xml_is_element (node, name))
      return error_set (error, EINVAL,
                        "%s, line %ld: second <%s> in <%s>; remove one of "
                        "them", rules->what, xmlGetLineNo (node), name,
                        (const char *) parent->name);
  return true;
}

char *
xml_text (const xmlNode *element)
{
  GString *text = g_string_new (NULL);

  for (const xmlNode *node = element->children; node; node = node->next)
    if ((node->type == XML_TEXT_NODE
         || node->type == XML_CDATA_SECTION_NODE) && node->content)
      g_string_append (text, (const char *) node->content);
  return g_string_free (text, FALSE);
}

char *
xml_attribute (const xmlNode *element, const char *name)
{
  xmlChar *value = xmlGetNoNsProp ((xmlNode *) element,
                                   (const xmlChar *) name);
  char *copy = g_strdup ((const char *) value);

  xmlFree (value);
  return copy;
}

bool
xml_unsigned (const char *text, guint64 *value)
{
  g_autofree char *digits = g_strstrip (g_strdup (text));

  return g_ascii_string_to_unsigned (digits, 10, 0, G_MAXUINT64, value, NULL);
}

/* The Char production of XML 1.0. */
static bool
xml_char (gunichar c)
{
  return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c <= 0xd7ff)
    || (c >= 0xe000 && c <= 0xfffd) || (c >= 0x10000 && c <= 0x10ffff);
}

/* A parser would change CR anywhere, and all white space but blanks in
 * attributes. */
void
xml_append_escaped (GString *out, const char *text, bool in_attribute)
{
  while (*text != '\0') {
    const gunichar c = g_utf8_get_char_validated (text, -1);

    if (!xml_char (c)) {
      g_string_append (out, "\357\277\275");
      /* Invalid UTF-8 is replaced byte by byte. */
      text = c < 0x110000 ? g_utf8_next_char (text) : text + 1;
      continue;
    }
    switch (c) {
    case '<': g_string_append (out, "&lt;"); break;
    case '>': g_string_append (out, "&gt;"); break;
    case '&': g_string_append (out, "&amp;"); break;
    case '"': g_string_append (out, "&quot;"); break;
    case '\'': g_string_append (out, "&apos;"); break;
    default:
      if (c == '\r' || (in_attribute && c < 0x20))
        g_string_append_printf (out, "&#%u;", (unsigned) c);
      else
        g_string_append_len (out, text, g_utf8_next_char (text) - text);
    }
    text = g_utf8_next_char (text);
  }
}

void
xml_append_attribute (GString *out, const char *name, const char *value)
{
  if (!value)
    return;
  g_string_append_printf (out, " %s='", name);
  xml_append_escaped (out, value, true);
  g_string_append_c (out, '\'');
}
