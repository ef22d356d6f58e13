/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "base/error.h"
#include "tool/whose.h"

/* How options begin. */
typedef struct {
  GString *text;
  const char *dashes;
} Text;

/* first NULL: it is said of all. */
static void
add (Text *text, const char *option, const char *first, const char *value)
{
  g_autofree char *whole
    = g_strconcat (first ? first : "", first ? ":" : "", value, NULL);
  g_autofree char *word = error_shell_word (whole);

  g_string_append_printf (text->text, "%s%s%s=%s", text->text->len ? " " : "",
                          text->dashes, option, word);
}

static void
add_path (Text *text, const char *option, const char *path)
{
  g_autofree char *whole = g_canonicalize_filename (path, NULL);

  add (text, option, NULL, whole);
}

static void
add_words (Text *text, const char *option, const GPtrArray *words)
{
  for (guint i = 0; i < words->len; i++) {
    const RequestedWord *word = g_ptr_array_index (words, i);
    add (text, option, word->target, word->value);
  }
}

static char *
text_of (const Options *options, bool with_tree, const char *dashes)
{
  const SourceRequest *request = &options->request;
  Text whole = { g_string_new (NULL), dashes }, *text = &whole;

  for (guint i = 0; i < request->files->len; i++) {
    const RequestedFile *file = g_ptr_array_index (request->files, i);
    add (text, "file", file->target, file->path);
  }
  if (request->libvirt)
    add (text, "libvirt", NULL, request->libvirt);
  if (request->qmp)
    add_path (text, "qmp", request->qmp);
  if (request->domain && (with_tree || request->libvirt))
    add (text, "domain", NULL, request->domain);
  if (with_tree && options->tree && !request->libvirt)
    add_path (text, "tree", options->tree);
  add_words (text, "format", request->formats);
  for (guint i = 0; i < request->backing_formats->len; i++) {
    const ToldImage *image = g_ptr_array_index (request->backing_formats, i);
    add (text, "backing-format", image->path, image->format);
  }
  for (guint i = 0; i < request->backings->len; i++)
    add (text, "backing", NULL, g_ptr_array_index (request->backings, i));
  add_words (text, "secret", request->secrets);
  return g_string_free (whole.text, FALSE);
}

char *
whose_text (const Options *options)
{
  return text_of (options, true, "--");
}

char *
whose_bitmaps_text (const Options *options)
{
  return text_of (options, false, "--");
}

char *
whose_parameters (const Options *options)
{
  return text_of (options, true, "");
}
