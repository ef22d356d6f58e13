/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <stdio.h>

#include "tool/json-print.h"

void
json_add_text (JsonBuilder *builder, const char *name, const char *text)
{
  g_autofree char *valid = text ? g_utf8_make_valid (text, -1) : NULL;

  json_builder_set_member_name (builder, name);
  if (valid)
    json_builder_add_string_value (builder, valid);
  else
    json_builder_add_null_value (builder);
}

void
json_add_number (JsonBuilder *builder, const char *name, guint64 number)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_int_value (builder, (gint64) MIN (number, G_MAXINT64));
}

void
json_add_texts (JsonBuilder *builder, const char *name, const GPtrArray *texts)
{
  json_builder_set_member_name (builder, name);
  json_builder_begin_array (builder);
  for (guint i = 0; i < texts->len; i++) {
    g_autofree char *valid
      = g_utf8_make_valid (g_ptr_array_index (texts, i), -1);
    json_builder_add_string_value (builder, valid);
  }
  json_builder_end_array (builder);
}

void
json_add_bool (JsonBuilder *builder, const char *name, bool value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_boolean_value (builder, value);
}

void
json_add_disks (JsonBuilder *builder, const Checkpoint *checkpoint)
{
  json_builder_set_member_name (builder, "disks");
  json_builder_begin_array (builder);
  for (guint i = 0; i < checkpoint->disks->len; i++) {
    const CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, i);
    json_builder_begin_object (builder);
    json_add_text (builder, "target", disk->name);
    json_add_text (builder, "bitmap", disk->bitmap);
    json_builder_end_object (builder);
  }
  json_builder_end_array (builder);
}

static void
add_sizes (JsonBuilder *builder, const Subject *subject,
           const Checkpoint *checkpoint)
{
  g_autoptr (GPtrArray) sizes = subject_sizes (subject, checkpoint);
  guint64 total = 0;
  bool known = sizes->len > 0;

  for (guint i = 0; i < sizes->len; i++) {
    const DiskSize *size = g_ptr_array_index (sizes, i);
    total += size->bytes;
    known = known && size->known;
  }
  if (known)
    json_add_number (builder, "size", total);
  else
    json_add_text (builder, "size", NULL);
  json_builder_set_member_name (builder, "sizes");
  json_builder_begin_array (builder);
  for (guint i = 0; i < sizes->len; i++) {
    const DiskSize *size = g_ptr_array_index (sizes, i);
    json_builder_begin_object (builder);
    json_add_text (builder, "target", size->target);
    if (size->known)
      json_add_number (builder, "size", size->bytes);
    else {
      json_add_text (builder, "size", NULL);
      json_add_text (builder, "why", size->why);
    }
    json_builder_end_object (builder);
  }
  json_builder_end_array (builder);
}

void
json_add_checkpoint (JsonBuilder *builder, const Subject *subject,
                     const Checkpoint *checkpoint, bool with_sizes)
{
  const Checkpoint *parent = checkpoint->parent;

  json_add_text (builder, "name", checkpoint->name);
  json_add_text (builder, "parent", parent ? parent->name : NULL);
  json_add_text (builder, "description", checkpoint->description);
  if (checkpoint->has_creation_time)
    json_add_number (builder, "creationTime", checkpoint->creation_time);
  else
    json_add_text (builder, "creationTime", NULL);
  json_add_bool (builder, "current", checkpoint == subject->current);
  json_add_disks (builder, checkpoint);
  if (with_sizes)
    add_sizes (builder, subject, checkpoint);
}

void
json_print (JsonBuilder *builder)
{
  g_autoptr (JsonGenerator) generator = json_generator_new ();
  g_autoptr (JsonNode) root = json_builder_get_root (builder);

  json_generator_set_root (generator, root);
  json_generator_set_pretty (generator, TRUE);
  g_autofree char *text = json_generator_to_data (generator, NULL);
  puts (text);
}

void
json_print_document (const char *name, const char *text)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  json_add_text (builder, "name", name);
  json_add_text (builder, "xml", text);
  json_builder_end_object (builder);
  json_print (builder);
}
