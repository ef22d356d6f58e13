/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * create: virsh's checkpoint-create-as and checkpoint-create.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "tool/change.h"
#include "tool/json-print.h"
#include "tree/schema.h"

/* As virsh has it: ",," is a comma that parts nothing. */
static GPtrArray *
split_words (const char *text)
{
  GPtrArray *words = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GString) word = g_string_new (NULL);

  for (; *text; text++) {
    if (*text != ',' || text[1] == ',') {
      g_string_append_c (word, *text);
      text += *text == ',';
      continue;
    }
    g_ptr_array_add (words, g_strdup (word->str));
    g_string_truncate (word, 0);
  }
  g_ptr_array_add (words, g_strdup (word->str));
  return words;
}

/* The mode and the bitmap's name; NULL: not said. */
static bool
read_words (const GPtrArray *words, const char **mode, const char **bitmap,
            GError **error)
{
  *mode = *bitmap = NULL;
  for (guint i = 1; i < words->len; i++) {
    const char *word = g_ptr_array_index (words, i);
    const char *equals = strchr (word, '=');
    const char **value = g_str_has_prefix (word, "checkpoint=") ? mode
      : g_str_has_prefix (word, "bitmap=") ? bitmap : NULL;
    if (!value || *value || !equals[1])
      return error_set (error, EINVAL, "%s is not understood; write TARGET"
                        "[,checkpoint=no|bitmap][,bitmap=NAME]", word);
    *value = equals + 1;
  }
  if (*mode && strcmp (*mode, "no") != 0 && strcmp (*mode, "bitmap") != 0)
    return error_set (error, EINVAL, "checkpoint=%s is unknown; it is no or "
                      "bitmap", *mode);
  if (*bitmap && *mode && strcmp (*mode, "no") == 0)
    return error_set (error, EINVAL, "it is to have no bitmap, and yet "
                      "bitmap=%s", *bitmap);
  return true;
}

static bool
add_disk (Checkpoint *checkpoint, const char *spec, GError **error)
{
  g_autoptr (GPtrArray) words = split_words (spec);
  const char *name = g_ptr_array_index (words, 0);
  const char *mode, *bitmap;
  g_autoptr (GError) why = NULL;

  if (!*name)
    error_set (&why, EINVAL, "it names no disk");
  else if (checkpoint_disk (checkpoint, name))
    error_set (&why, EINVAL, "disk '%s' specified twice", name);
  else if (read_words (words, &mode, &bitmap, &why)) {
    const bool covered = !mode || strcmp (mode, "bitmap") == 0;
    checkpoint_add_disk (checkpoint, name, !covered ? NULL
                         : bitmap ? bitmap : checkpoint->name);
    return true;
  }
  return error_set (error, EINVAL, "--disk=%s: %s", spec, why->message);
}

static Checkpoint *
from_options (const Options *options, GError **error)
{
  const char *name = options_word (options);

  if (name && !*name)
    return error_null (error, EINVAL, "the checkpoint's name is empty; leave "
                       "it out, and it is the time");
  g_autoptr (Checkpoint) checkpoint = checkpoint_new_now (name);
  checkpoint->description = g_strdup (options->description);
  for (guint i = 0; i < options->disks->len; i++)
    if (!add_disk (checkpoint, g_ptr_array_index (options->disks, i), error))
      return NULL;
  return g_steal_pointer (&checkpoint);
}

static Checkpoint *
from_document (const Options *options, GError **error)
{
  gsize length;

  if (options->words->len > 0 || options->disks->len > 0
      || options->description)
    return error_null (error, EINVAL, "--xml names a document that says it "
                       "all; leave out %s", options->words->len > 0
                       ? "the name" : options->disks->len > 0 ? "--disk"
                       : "--description");
  g_autofree char *text = change_read (options->xml, &length, error);
  Checkpoint *checkpoint = text && schema_check (text, length, error)
    ? checkpoint_parse (text, length, CHECKPOINT_PARSE_TO_CREATE, error)
    : NULL;
  if (text && !checkpoint)
    g_prefix_error (error, "%s: ", options->xml);
  return checkpoint;
}

/* Of a running guest of libvirt's, only what was asked for is known. */
static void
print_json (const Record *record, const Checkpoint *checkpoint)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  json_add_text (builder, "name", checkpoint->name);
  if (record->disks) {
    json_add_text (builder, "parent", checkpoint->parent_name);
    json_add_number (builder, "creationTime", checkpoint->creation_time);
  }
  json_add_text (builder, "description", checkpoint->description);
  if (record->disks || checkpoint->disks->len > 0)
    json_add_disks (builder, checkpoint);
  json_builder_end_object (builder);
  json_print (builder);
}

static void
print_made (const Options *options, const Record *record,
            const Checkpoint *checkpoint)
{
  if (options->json)
    print_json (record, checkpoint);
  else if (options->xml)
    printf ("Domain checkpoint %s created from '%s'\n", checkpoint->name,
            options->xml);
  else
    printf ("Domain checkpoint %s created\n", checkpoint->name);
}

/* libvirt has its own way to a guest's agent. */
static bool
check_agent (const Options *options, GError **error)
{
  return !options->request.agent
    || (options->request.qmp && options->quiesce)
    || error_set (error, EINVAL, "--agent goes with --qmp and --quiesce; add "
                  "what is missing, or leave it out");
}

Status
command_create (const Options *options, GError **error)
{
  const CreateFlags flags = {
    .quiesce = options->quiesce, .no_document = options->no_metadata,
  };
  if (!check_agent (options, error))
    return STATUS_FAILED;
  g_autoptr (Checkpoint) checkpoint
    = (options->xml ? from_document : from_options) (options, error);
  g_autoptr (Record) record
    = checkpoint ? change_open (options, error) : NULL;

  if (!record || !record_complete (record, checkpoint, error))
    return STATUS_FAILED;
  if (options->print_xml) {
    g_autofree char *text = checkpoint_format (checkpoint);
    if (options->json)
      json_print_document (checkpoint->name, text);
    else
      fputs (text, stdout);
    return STATUS_FINE;
  }
  if (!record->ops->create (record, checkpoint, flags, error))
    return STATUS_FAILED;
  print_made (options, record, checkpoint);
  return STATUS_FINE;
}
