/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Make checkpoints, ask them, and write them in libvirt's layout
 * (virDomainCheckpointDefFormat, virBufferEscapeString), byte for byte the
 * same each time.
 */

#include <config.h>

#include <string.h>

#include <glib.h>

#include "base/xml-text.h"
#include "tree/checkpoint.h"

#define NAME_CHARACTERS G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_-."

static void
disk_free (void *data)
{
  CheckpointDisk *disk = data;

  g_ref_string_release (disk->name);
  g_clear_pointer (&disk->bitmap, g_ref_string_release);
  g_free (disk);
}

Checkpoint *
checkpoint_new (const char *name)
{
  Checkpoint *checkpoint = g_new0 (Checkpoint, 1);

  checkpoint->name = g_ref_string_new_intern (name);
  checkpoint->disks = g_ptr_array_new_with_free_func (disk_free);
  return checkpoint;
}

Checkpoint *
checkpoint_new_now (const char *name)
{
  const guint64 now = (guint64) g_get_real_time () / G_USEC_PER_SEC;
  g_autofree char *by_time = g_strdup_printf ("%" G_GUINT64_FORMAT, now);
  Checkpoint *checkpoint = checkpoint_new (name ? name : by_time);

  checkpoint->has_creation_time = true;
  checkpoint->creation_time = now;
  return checkpoint;
}

void
checkpoint_free (Checkpoint *checkpoint)
{
  if (!checkpoint)
    return;
  g_ref_string_release (checkpoint->name);
  g_free (checkpoint->file);
  g_free (checkpoint->description);
  g_clear_pointer (&checkpoint->parent_name, g_ref_string_release);
  g_ptr_array_unref (checkpoint->disks);
  g_clear_pointer (&checkpoint->domain_name, g_ref_string_release);
  g_clear_pointer (&checkpoint->domain_uuid, g_ref_string_release);
  g_clear_pointer (&checkpoint->domain_disks, g_ptr_array_unref);
  g_free (checkpoint);
}

CheckpointDisk *
checkpoint_add_disk (Checkpoint *checkpoint, const char *name,
                     const char *bitmap)
{
  CheckpointDisk *disk = g_new0 (CheckpointDisk, 1);

  disk->name = g_ref_string_new_intern (name);
  disk->bitmap = bitmap ? g_ref_string_new_intern (bitmap) : NULL;
  g_ptr_array_add (checkpoint->disks, disk);
  return disk;
}

void
checkpoint_cover (Checkpoint *checkpoint, const char *target,
                  const char *bitmap)
{
  CheckpointDisk *disk = (CheckpointDisk *) checkpoint_disk (checkpoint,
                                                             target);

  checkpoint->covers_any_disk = false;
  if (!disk) {
    checkpoint_add_disk (checkpoint, target, bitmap);
    return;
  }
  g_clear_pointer (&disk->bitmap, g_ref_string_release);
  disk->bitmap = g_ref_string_new_intern (bitmap);
  disk->has_size = false;
}

void
checkpoint_set_parent_name (Checkpoint *checkpoint, const char *name)
{
  g_clear_pointer (&checkpoint->parent_name, g_ref_string_release);
  if (name)
    checkpoint->parent_name = g_ref_string_new_intern (name);
}

const CheckpointDisk *
checkpoint_disk (const Checkpoint *checkpoint, const char *target)
{
  for (guint i = 0; i < checkpoint->disks->len; i++) {
    const CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, i);
    if (strcmp (disk->name, target) == 0)
      return disk;
  }
  return NULL;
}

const char *
checkpoint_bitmap (const Checkpoint *checkpoint, const char *target)
{
  const CheckpointDisk *disk;

  if (checkpoint->covers_any_disk)
    return checkpoint->name;
  disk = checkpoint_disk (checkpoint, target);
  return disk ? disk->bitmap : NULL;
}

bool
checkpoint_name_valid (const char *name)
{
  return *name != '\0' && *name != '.'
    && name[strspn (name, NAME_CHARACTERS)] == '\0';
}

bool
disk_target_is_valid (const char *target)
{
  return g_ascii_isalpha (target[0])
    && target[strspn (target, NAME_CHARACTERS)] == '\0';
}

static void
append_text_element (GString *out, guint indent, const char *name,
                     const char *text)
{
  if (!text)
    return;
  g_string_append_printf (out, "%*s<%s>", (int) indent, "", name);
  xml_append_escaped (out, text, false);
  g_string_append_printf (out, "</%s>\n", name);
}

static void
append_disks (GString *out, const Checkpoint *checkpoint)
{
  g_string_append (out, "  <disks>\n");
  for (guint i = 0; i < checkpoint->disks->len; i++) {
    const CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, i);

    g_string_append (out, "    <disk");
    xml_append_attribute (out, "name", disk->name);
    xml_append_attribute (out, "checkpoint", disk->bitmap ? "bitmap" : "no");
    if (disk->bitmap)
      xml_append_attribute (out, "bitmap", disk->bitmap);
    if (disk->has_size)
      g_string_append_printf (out, " size='%" G_GUINT64_FORMAT "'",
                              disk->size);
    g_string_append (out, "/>\n");
  }
  g_string_append (out, "  </disks>\n");
}

char *
checkpoint_format (const Checkpoint *checkpoint)
{
  GString *out = g_string_new ("<domaincheckpoint>\n");

  append_text_element (out, 2, "name", checkpoint->name);
  append_text_element (out, 2, "description", checkpoint->description);
  if (checkpoint->parent_name) {
    g_string_append (out, "  <parent>\n");
    append_text_element (out, 4, "name", checkpoint->parent_name);
    g_string_append (out, "  </parent>\n");
  }
  if (checkpoint->has_creation_time)
    g_string_append_printf (out, "  <creationTime>%" G_GUINT64_FORMAT
                            "</creationTime>\n", checkpoint->creation_time);
  if (checkpoint->disks->len > 0)
    append_disks (out, checkpoint);
  g_string_append (out, "</domaincheckpoint>\n");
  return g_string_free (out, FALSE);
}
