/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * libxml2 does not tell where in a text an element stands, so this walks over its
 * markup.  The parser has found it well-formed before, and reads the result: it
 * must be the same checkpoint but for what was to change.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/xml-text.h"
#include "tree/amend.h"
#include "tree/checkpoint.h"

typedef struct {
  const char *at, *end;
  guint depth;                  /* of the open element; the root's is 1 */
} Walk;

/* A piece of markup, or the text up to the next. */
typedef enum { TEXT, OPENS, CLOSES, EMPTY } Kind;

/* From start; *next is behind what ends with stop. */
static bool
skip_past (const char *start, const char *end, const char *stop,
           const char **next)
{
  *next = g_strstr_len (start, end - start, stop);
  if (*next)
    *next += strlen (stop);
  return *next != NULL;
}

/* A '>' may stand in an attribute's value. */
static bool
skip_tag (const char *start, const char *end, const char **next)
{
  char quote = '\0';

  for (const char *at = start; at < end; at++) {
    if (quote ? *at == quote : *at == '"' || *at == '\'')
      quote = quote ? '\0' : *at;
    else if (!quote && *at == '>') {
      *next = at + 1;
      return true;
    }
  }
  return false;
}

static bool
begins (const Walk *walk, const char *with)
{
  return (gsize) (walk->end - walk->at) >= strlen (with)
    && memcmp (walk->at, with, strlen (with)) == 0;
}

/* Find the end of what stands at walk->at; false: that is not XML. */
static bool
look (const Walk *walk, Kind *kind, const char **next)
{
  *kind = TEXT;
  if (*walk->at != '<') {
    const char *tag = memchr (walk->at, '<', walk->end - walk->at);
    *next = tag ? tag : walk->end;
    return true;
  }
  if (begins (walk, "<!--"))
    return skip_past (walk->at + 4, walk->end, "-->", next);
  if (begins (walk, "<![CDATA["))
    return skip_past (walk->at, walk->end, "]]>", next);
  if (begins (walk, "<?"))
    return skip_past (walk->at, walk->end, "?>", next);
  if (!skip_tag (walk->at, walk->end, next))
    return false;
  *kind = walk->at[1] == '/' ? CLOSES : (*next)[-2] == '/' ? EMPTY : OPENS;
  return true;
}

/* Is the tag at this place that of an element of this name? */
static bool
is_named (const char *tag, const char *end, const char *name)
{
  const gsize length = strlen (name);

  return (gsize) (end - tag) > length + 1
    && memcmp (tag + 1, name, length) == 0
    && strchr (" \t\r\n/>", tag[1 + length]);
}

/* Where an element is, and where one could be. */
typedef struct {
  const char *start, *end;      /* NULL: there is none */
  const char *after_name;       /* behind </name>, or NULL */
  const char *after_description;
} Places;

static void
note (Places *places, const char *start, const char *end, const char *tag_end,
      const char *wanted)
{
  if (is_named (start, tag_end, wanted) && !places->start) {
    places->start = start;
    places->end = end;
  }
  if (is_named (start, tag_end, "name") && !places->after_name)
    places->after_name = end;
  if (is_named (start, tag_end, "description") && !places->after_description)
    places->after_description = end;
}

/* Find the children of the root. */
static bool
find_places (const char *text, gsize length, const char *wanted,
             Places *places)
{
  Walk walk = { .at = text, .end = text + length };
  const char *child = NULL, *child_tag = NULL, *next;
  Kind kind;

  for (; walk.at < walk.end; walk.at = next) {
    if (!look (&walk, &kind, &next))
      return false;
    if (kind == EMPTY && walk.depth == 1)
      note (places, walk.at, next, next, wanted);
    if (kind == OPENS && ++walk.depth == 2) {
      child = walk.at;
      child_tag = next;
    }
    if (kind == CLOSES && walk.depth-- == 2)
      note (places, child, next, child_tag, wanted);
  }
  return walk.depth == 0 && places->after_name;
}

/* Without the white space before it, as it had a line of its own. */
static const char *
with_indent (const char *text, const char *start)
{
  while (start > text && strchr (" \t", start[-1]))
    start--;
  return start > text && start[-1] == '\n' ? start - 1 : start;
}

/* element: NULL: none. */
static char *
put_element (const char *text, gsize length, const char *wanted,
             const char *element, gsize *amended_length)
{
  Places places = { NULL };

  if (!find_places (text, length, wanted, &places))
    return NULL;
  GString *out = g_string_new (NULL);
  const char *start = places.start, *end = places.end;
  if (start && !element)
    start = with_indent (text, start);
  if (!start) {
    const bool parent = strcmp (wanted, "parent") == 0;
    start = end = parent && places.after_description
      ? places.after_description : places.after_name;
    if (element)
      g_string_append (out, "\n  ");
  }
  g_string_append (out, element ? element : "");
  g_string_prepend_len (out, text, start - text);
  g_string_append_len (out, end, text + length - end);
  *amended_length = out->len;
  return g_string_free (out, FALSE);
}

/* What a document says, but for a parent and a description. */
static char *
rest_of (Checkpoint *checkpoint)
{
  checkpoint_set_parent_name (checkpoint, NULL);
  g_clear_pointer (&checkpoint->description, g_free);
  return checkpoint_format (checkpoint);
}

/* before, after: are changed. */
static bool
check_amended (Checkpoint *before, Checkpoint *after, const char *parent,
               const char *description, GError **error)
{
  const bool right = after && g_strcmp0 (after->parent_name, parent) == 0
    && g_strcmp0 (after->description, description) == 0;
  g_autofree char *old = rest_of (before);
  g_autofree char *new = right ? rest_of (after) : NULL;

  return g_strcmp0 (old, new) == 0
    || error_set (error, EINVAL, "the document of checkpoint %s is written in "
                  "a way in which it cannot be changed here", before->name);
}

static char *
amend (const char *text, gsize length, const char *wanted,
       const char *element, const char *value, gsize *amended_length,
       GError **error)
{
  g_autoptr (Checkpoint) before
    = checkpoint_parse (text, length, CHECKPOINT_PARSE_DEFAULT, error);

  if (!before)
    return NULL;
  const bool is_parent = strcmp (wanted, "parent") == 0;
  g_autofree char *parent
    = g_strdup (is_parent ? value : before->parent_name);
  g_autofree char *description
    = g_strdup (is_parent ? before->description : value);
  g_autofree char *amended
    = put_element (text, length, wanted, element, amended_length);
  g_autoptr (Checkpoint) after = amended
    ? checkpoint_parse (amended, *amended_length, CHECKPOINT_PARSE_DEFAULT,
                        NULL) : NULL;
  if (!check_amended (before, after, parent, description, error))
    return NULL;
  return g_steal_pointer (&amended);
}

char *
amend_parent (const char *text, gsize length, const char *parent,
              gsize *amended_length, GError **error)
{
  g_autofree char *element = parent ? g_strdup_printf (
    "<parent>\n    <name>%s</name>\n  </parent>", parent) : NULL;

  if (parent && !checkpoint_name_valid (parent))
    return error_null (error, EINVAL, "%s cannot be the name of a checkpoint",
                       parent);
  return amend (text, length, "parent", element, parent, amended_length,
                error);
}

char *
amend_description (const char *text, gsize length, const char *description,
                   gsize *amended_length, GError **error)
{
  g_autoptr (GString) element = g_string_new ("<description>");

  if (description && !*description)
    description = NULL;
  if (description)
    xml_append_escaped (element, description, false);
  g_string_append (element, "</description>");
  return amend (text, length, "description", description ? element->str : NULL,
                description, amended_length, error);
}

static bool
is_blank (const char *text, const char *end)
{
  for (; text < end; text++)
    if (!strchr (" \t\r\n", *text))
      return false;
  return true;
}

/* The markup and the texts; NULL: it is no XML. */
static char *
squeeze (const char *text, gsize length)
{
  Walk walk = { .at = text, .end = text + length };
  g_autoptr (GString) out = g_string_new (NULL);
  const char *next;
  Kind kind;

  for (; walk.at < walk.end; walk.at = next) {
    if (!look (&walk, &kind, &next))
      return NULL;
    if (kind != TEXT || !is_blank (walk.at, next))
      g_string_append_len (out, walk.at, next - walk.at);
  }
  return g_string_free (g_steal_pointer (&out), FALSE);
}

static char *
squeeze_rest (const char *text, gsize length)
{
  gsize rest_length;
  g_autofree char *rest = put_element (text, length, "description", NULL,
                                       &rest_length);

  return rest ? squeeze (rest, rest_length) : NULL;
}

bool
amend_same_rest (const char *text, gsize length, const char *other,
                 gsize other_length)
{
  g_autofree char *one = squeeze_rest (text, length);
  g_autofree char *two = squeeze_rest (other, other_length);

  return one && two && strcmp (one, two) == 0;
}
