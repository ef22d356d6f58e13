/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * show: virsh's checkpoint-dumpxml.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "tool/command.h"
#include "tool/json-print.h"
#include "tool/say.h"
#include "tree/load.h"

static const DiskSize *
size_of (const GPtrArray *sizes, const char *target)
{
  for (guint i = 0; sizes && i < sizes->len; i++) {
    const DiskSize *size = g_ptr_array_index (sizes, i);
    if (strcmp (size->target, target) == 0)
      return size;
  }
  return NULL;
}

/* A disk whose size is not wanted, or cannot be told, has none. */
static void
set_sizes (const Checkpoint *checkpoint, const GPtrArray *sizes)
{
  for (guint i = 0; i < checkpoint->disks->len; i++) {
    CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, i);
    const DiskSize *size = size_of (sizes, disk->name);
    disk->has_size = size && size->known;
    disk->size = disk->has_size ? size->bytes : 0;
    if (size && !size->known)
      reporter_warn (&tool_reporter, "no size of disk %s: %s", disk->name,
                     size->why);
  }
}

/* The document as it is to be shown. */
static char *
make_document (Subject *subject, const Options *options,
               const Checkpoint *checkpoint, GError **error)
{
  g_autofree char *text = g_steal_pointer (&subject->document);
  gsize length = text ? strlen (text) : 0;

  if (!text && options->request.libvirt)
    return error_null (error, EAGAIN, "checkpoint %s was deleted meanwhile",
                       checkpoint->name);
  if (text && (!options->size || subject->has_sizes))
    return g_steal_pointer (&text);
  g_autoptr (GPtrArray) sizes
    = options->size ? subject_sizes (subject, checkpoint) : NULL;
  set_sizes (checkpoint, sizes);
  if (!text && (options->no_domain || !checkpoint->file))
    return checkpoint_format (checkpoint);
  if (!text)
    text = tree_load_document (checkpoint, &length, error);
  return text && options->size
    ? checkpoint_fill_sizes (checkpoint, text, length, error)
    : g_steal_pointer (&text);
}

Status
command_show (const Options *options, GError **error)
{
  g_auto (Subject) subject = { 0 };
  const Checkpoint *checkpoint;
  const Status status = subject_open_named (
    &subject, options, g_ptr_array_index (options->words, 0), &checkpoint,
    error);

  if (status != STATUS_FINE)
    return status;
  g_autofree char *text
    = make_document (&subject, options, checkpoint, error);
  if (!text)
    return STATUS_FAILED;
  if (options->json)
    json_print_document (checkpoint->name, text);
  else
    fputs (text, stdout);
  return STATUS_FINE;
}
