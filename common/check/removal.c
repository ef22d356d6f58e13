/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Commands that remove bitmaps from images, as parts_removal () has them, but with
 * an eye on all disks that were looked at.  Where two have one backing image, a
 * bitmap in it is a part of both records: without it, the other disk's would look
 * complete.  So what is whole there stays, which makes the view larger and no
 * less right; what is of no use goes after all that lies above it.
 */
#include <config.h>

#include "parts/refuse.h"
#include "check/internal.h"

typedef struct {
  const Check *check;
  const Disk *disk;
  GPtrArray *commands;          /* of char *, each once */
  bool is_safe;                 /* nothing that a disk could use which was not
                                 * looked at */
} Removal;

static void
add_command (const Removal *removal, char *command)
{
  if (g_ptr_array_find_with_equal_func (removal->commands, command,
                                        g_str_equal, NULL))
    g_free (command);
  else
    g_ptr_array_add (removal->commands, command);
}

static char *
join (const Removal *removal)
{
  g_ptr_array_add (removal->commands, NULL);
  return g_strjoinv (" && ", (char **) removal->commands->pdata);
}

static bool
has_layer (const Disk *disk, const Layer *layer)
{
  for (guint i = 0; i < disk->layers->len; i++) {
    const Layer *other = disk_layer (disk, i);
    if (other == layer || (other->file && layer->file
                           && image_file_is_same (other->file, layer->file)))
      return true;
  }
  return false;
}

static bool
is_shared (const Removal *removal, const Layer *layer)
{
  const GPtrArray *disks = removal->check->source->disks;

  for (guint i = 0; i < disks->len; i++) {
    const Disk *other = g_ptr_array_index (disks, i);
    if (other != removal->disk && has_layer (other, layer))
      return true;
  }
  return false;
}

static void
remove_bitmap (Removal *removal, const Layer *layer, bool is_top,
               const Bitmap *bitmap)
{
  g_autofree char *path = error_shell_word (layer->path);
  g_autofree char *name = error_shell_word (bitmap->name);

  removal->is_safe = removal->is_safe && (is_top || bitmap->inconsistent);
  add_command (removal, g_strdup_printf (
    "qemu-img bitmap --remove %s%s %s", bitmap->name[0] == '-' ? "-- " : "",
    path, name));
}

/* bitmap NULL: all that may be lost.  shared_too: also what other disks have. */
static void
remove_from (Removal *removal, const Disk *disk, const char *name,
             bool shared_too)
{
  for (guint i = 0; i < disk->layers->len; i++) {
    const Layer *layer = disk_layer (disk, i);
    for (guint j = 0; j < layer->bitmaps->len; j++) {
      const Bitmap *bitmap = g_ptr_array_index (layer->bitmaps, j);
      if (name ? !g_str_equal (bitmap->name, name)
          : !parts_may_be_lost (disk, bitmap->name))
        continue;
      if (shared_too || !is_shared (removal, layer))
        remove_bitmap (removal, layer, i == 0, bitmap);
    }
  }
}

/* From all disks that have the layer: first what lies above what they share. */
static void
remove_from_all (Removal *removal, const Layer *layer, const char *name)
{
  const GPtrArray *disks = removal->check->source->disks;

  for (guint shared = 0; shared < 2; shared++)
    for (guint i = 0; i < disks->len; i++) {
      const Disk *disk = g_ptr_array_index (disks, i);
      Removal of = *removal;
      of.disk = disk;
      if (!has_layer (disk, layer))
        continue;
      remove_from (&of, disk, name, shared);
      removal->is_safe = of.is_safe;
    }
}

static Removal
removal_of (const Check *check, const Disk *disk)
{
  return (Removal) {
    .check = check, .disk = disk, .is_safe = true,
    .commands = g_ptr_array_new_with_free_func (g_free),
  };
}

char *
mend_removal (const Check *check, const Disk *disk, const char *bitmap,
              bool *is_safe)
{
  Removal removal = removal_of (check, disk);
  g_autoptr (GPtrArray) commands = removal.commands;

  for (guint i = 0; i < disk->layers->len; i++) {
    const Layer *layer = disk_layer (disk, i);
    const Bitmap *own = layer_bitmap (layer, bitmap);
    if (own && own->inconsistent && is_shared (&removal, layer))
      remove_from_all (&removal, layer, bitmap);
  }
  if (commands->len == 0)
    remove_from (&removal, disk, bitmap, false);
  *is_safe = *is_safe && removal.is_safe;
  return join (&removal);
}

char *
mend_void (const Check *check, const Disk *disk, bool *is_safe)
{
  Removal removal = removal_of (check, disk);
  g_autoptr (GPtrArray) commands = removal.commands;

  for (guint i = 0; i < disk->layers->len; i++) {
    const Layer *layer = disk_layer (disk, i);
    if (layer->void_bitmaps && is_shared (&removal, layer))
      remove_from_all (&removal, layer, NULL);
  }
  remove_from (&removal, disk, NULL, false);
  for (guint i = 0; i < disk->layers->len; i++) {
    const Layer *layer = disk_layer (disk, i);
    if (!layer->void_bitmaps)
      continue;
    add_command (&removal, mend_image ("check -r leaks", layer->path));
    removal.is_safe = removal.is_safe && i == 0;
  }
  *is_safe = removal.is_safe;
  return join (&removal);
}
