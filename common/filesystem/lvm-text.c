/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <string.h>

#include "filesystem/lvm-text.h"

#define DEPTH_MAX 12
/* Nodes and values: of some thousands of logical volumes. */
#define NODES_MAX (128 * 1024)

typedef struct {
  const char *at, *end;
  guint left;                   /* nodes and values that there may still be */
} Scan;

void
lvm_node_free (LvmNode *self)
{
  if (!self)
    return;
  g_clear_pointer (&self->values, g_ptr_array_unref);
  g_clear_pointer (&self->nodes, g_ptr_array_unref);
  g_free (self->name);
  g_free (self);
}

static LvmNode *
new_section (const char *name, gsize length)
{
  LvmNode *self = g_new0 (LvmNode, 1);

  self->name = g_strndup (name, length);
  self->nodes = g_ptr_array_new_with_free_func (
    (GDestroyNotify) lvm_node_free);
  return self;
}

static void
skip_space (Scan *scan)
{
  while (scan->at < scan->end) {
    if (*scan->at == '#')
      while (scan->at < scan->end && *scan->at != '\n')
        scan->at++;
    else if (!g_ascii_isspace (*scan->at))
      return;
    else
      scan->at++;
  }
}

static bool
take (Scan *scan, char sign)
{
  skip_space (scan);
  if (scan->at >= scan->end || *scan->at != sign)
    return false;
  scan->at++;
  return true;
}

static gsize
word_length (const Scan *scan)
{
  const char *at = scan->at;

  while (at < scan->end && (g_ascii_isalnum (*at) || strchr ("_.+-", *at))
         && *at)
    at++;
  return at - scan->at;
}

/* "text", with \" and \\, or a number. */
static bool
take_value (Scan *scan, GPtrArray *values)
{
  skip_space (scan);
  if (scan->left == 0)
    return false;
  scan->left--;
  if (take (scan, '"')) {
    g_autoptr (GString) text = g_string_new (NULL);
    for (; scan->at < scan->end && *scan->at != '"'; scan->at++) {
      if (*scan->at == '\\' && scan->at + 1 < scan->end)
        scan->at++;
      g_string_append_c (text, *scan->at);
    }
    g_ptr_array_add (values, g_strdup (text->str));
    return take (scan, '"');
  }
  const gsize length = word_length (scan);
  if (length == 0)
    return false;
  g_ptr_array_add (values, g_strndup (scan->at, length));
  scan->at += length;
  return true;
}

static bool
take_values (Scan *scan, GPtrArray *values)
{
  if (!take (scan, '['))
    return take_value (scan, values);
  while (!take (scan, ']'))
    if (!take_value (scan, values)
        || (!take (scan, ',') && (skip_space (scan), scan->at >= scan->end
                                  || *scan->at != ']')))
      return false;
  return true;
}

/* Up to } or the end. */
static bool
take_section (Scan *scan, LvmNode *section, guint depth)
{
  for (;;) {
    skip_space (scan);
    const gsize length = word_length (scan);
    if (length == 0)
      return depth == 0 ? scan->at >= scan->end || !*scan->at
        : take (scan, '}');
    if (scan->left == 0)
      return false;
    scan->left--;
    LvmNode *node = new_section (scan->at, length);
    g_ptr_array_add (section->nodes, node);
    scan->at += length;
    if (take (scan, '{')) {
      if (depth >= DEPTH_MAX || !take_section (scan, node, depth + 1))
        return false;
      continue;
    }
    g_clear_pointer (&node->nodes, g_ptr_array_unref);
    node->values = g_ptr_array_new_with_free_func (g_free);
    if (!take (scan, '=') || !take_values (scan, node->values))
      return false;
  }
}

LvmNode *
lvm_text_parse (const char *text, gsize length)
{
  Scan scan = { text, text + length, NODES_MAX };
  g_autoptr (LvmNode) root = new_section ("", 0);

  return take_section (&scan, root, 0) ? g_steal_pointer (&root) : NULL;
}

const LvmNode *
lvm_node_find (const LvmNode *section, const char *name)
{
  for (guint i = 0; section && section->nodes && i < section->nodes->len; i++) {
    const LvmNode *node = g_ptr_array_index (section->nodes, i);
    if (strcmp (node->name, name) == 0)
      return node;
  }
  return NULL;
}

const char *
lvm_node_value (const LvmNode *section, const char *name, guint index)
{
  const LvmNode *node = lvm_node_find (section, name);

  return node && node->values && index < node->values->len
    ? g_ptr_array_index (node->values, index) : NULL;
}

bool
lvm_node_number (const LvmNode *section, const char *name, guint index,
                 guint64 *number)
{
  const char *value = lvm_node_value (section, name, index);

  return value && g_ascii_string_to_unsigned (value, 10, 0, G_MAXUINT64, number,
                                              NULL);
}
